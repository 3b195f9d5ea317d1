"""``python -m pgsrm_plugin.cli``: the ``pgsrm`` command of this interpreter."""

from pgsrm_plugin.cli import main

if __name__ == "__main__":
    main()
