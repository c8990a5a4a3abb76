"""Plans played ahead on virtual time, side by side: how long, who is heard, what is wasted, and what is learnt."""
