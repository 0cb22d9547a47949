# The face, typed: what `__init__.py` resolves on first use.

from asyncref import blocking as blocking
from asyncref import errors as errors
from asyncref.artifacts import Api as Api
from asyncref.artifacts import Artifact as Artifact
from asyncref.artifacts import Run as Run
from asyncref.artifacts import finish as finish
from asyncref.artifacts import init as init
from asyncref.artifacts import log_artifact as log_artifact
from asyncref.artifacts import use_artifact as use_artifact
from asyncref.engine.fetch import FetchReport as FetchReport
from asyncref.errors import AsyncrefError as AsyncrefError
from asyncref.manifest import Diff as Diff
from asyncref.manifest import Manifest as Manifest
from asyncref.model import Entry as Entry
from asyncref.model import Limits as Limits
from asyncref.registry import Registry as Registry
from asyncref.verbs import audit as audit
from asyncref.verbs import fetch as fetch
from asyncref.verbs import forecast as forecast
from asyncref.verbs import load as load
from asyncref.verbs import pages as pages
from asyncref.verbs import scan as scan
from asyncref.verbs import status as status
from asyncref.verbs import stream as stream
from asyncref.verbs import verify as verify

__version__: str
run: Run | None
