"""The claims of the PGSRM paper, put to the test: tasks x rewards x seeds, with intervals and verdicts by rule."""
