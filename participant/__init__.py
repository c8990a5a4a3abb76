"""The participant: a site's service. core decides, training trains in a process of its own, shell does."""
