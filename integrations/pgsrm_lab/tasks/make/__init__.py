"""Makes the files in ``integrations/pgsrm_lab/tasks/data``: ``python -m pgsrm_lab.tasks.make``.

The colour table is not made here: it is a judgement, and stands in :mod:`pgsrm_lab.tasks.colours`.
"""
