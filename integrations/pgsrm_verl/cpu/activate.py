"""Importing this module activates the CPU support where asked, e.g. by VERL_USE_EXTERNAL_MODULES."""

from pgsrm_verl.cpu import activate_if_asked

activate_if_asked()
