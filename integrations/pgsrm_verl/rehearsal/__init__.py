"""The parts of ``pgsrm rehearse``; :mod:`pgsrm_verl.rehearsal.rehearse` puts them together."""
