"""One reward for every stack: ``Scorer`` behind each stack's own seam, one file a stack.

Each takes a spec or the address of a service (``pgsrm serve``), its own argument or ``PGSRM_SPEC`` and ``PGSRM_URL``.
OpenRLHF, slime and LLaMA-Factory can ask the service without any of these files.
"""
