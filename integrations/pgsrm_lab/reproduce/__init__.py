"""Studies: rewards put to tasks and seeds, with intervals and verdicts by rule. One folder a study."""
