"""BottleCRM's own settings for a test: no Redis, and webhooks may go to this machine."""

from datetime import timedelta

from crm.settings import *  # noqa: F403
from crm.settings import INSTALLED_APPS, SIMPLE_JWT

CELERY_BROKER_URL = "memory://"
CELERY_RESULT_BACKEND = "cache+memory://"
CELERY_TASK_ALWAYS_EAGER = True  # a webhook is sent within the call that causes it
CELERY_TASK_EAGER_PROPAGATES = False
# The seed's session is kept with the seeded database, and has to outlive it.
SIMPLE_JWT = {**SIMPLE_JWT, "ACCESS_TOKEN_LIFETIME": timedelta(days=3650)}
INSTALLED_APPS = [*INSTALLED_APPS, "connector_test.apps.Loopback"]
