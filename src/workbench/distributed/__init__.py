"""One run on several devices: who this process is among the ranks, and how they begin and end together."""
