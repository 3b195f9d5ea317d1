"""Makes the files in ``pgsrm_plugin/tasks/data``: ``python -m pgsrm_plugin.tasks.make``.

The colour table is not made here: it is a judgement, and stands in :mod:`pgsrm_plugin.tasks.colours`.
"""
