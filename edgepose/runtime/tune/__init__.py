"""What runs a network quickest on this machine: measured once (`plan.py`), kept (`kept.py`), and chosen by `load`."""
