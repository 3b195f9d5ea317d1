"""The parts of ``pgsrm rehearse``; :mod:`pgsrm_verl.rehearse` puts them together."""
