"""Prints the file that ``--external_plugins`` wants."""

from pgsrm_stacks import swift

print(swift.__file__)
