"""After training: what scores mean, from which score to speak up, what eight bits cost, how a run went."""
