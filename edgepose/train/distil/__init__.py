"""Learning from another network: a teacher that looks at the student's views, and what is learnt from it."""
