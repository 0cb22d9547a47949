# The verbs, for type checkers and editors; `__init__.py` resolves the same names on first use.

from asyncref.verbs.fetching import fetch as fetch
from asyncref.verbs.fetching import stream as stream
from asyncref.verbs.judging import audit as audit
from asyncref.verbs.judging import status as status
from asyncref.verbs.judging import verify as verify
from asyncref.verbs.scanning import forecast as forecast
from asyncref.verbs.scanning import load as load
from asyncref.verbs.scanning import pages as pages
from asyncref.verbs.scanning import scan as scan
