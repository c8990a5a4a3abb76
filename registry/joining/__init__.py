"""How an institution comes to belong: an invitation, a request, an answer, each one file that can be mailed."""
