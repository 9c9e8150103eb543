"""Makes an organization, its administrator and that one's tokens; prints them as JSON.

Runs in BottleCRM's own Python, with DJANGO_SETTINGS_MODULE and the database in the environment.
"""

import json

import django

django.setup()

from common.models import Org, PersonalAccessToken, Profile  # noqa: E402
from common.serializer import OrgAwareRefreshToken  # noqa: E402
from django.contrib.auth import get_user_model  # noqa: E402

org = Org.objects.create(name="Connector test")
user = get_user_model().objects.create(email="connector@example.com", is_active=True)
profile = Profile.objects.create(user=user, org=org, role="ADMIN", is_active=True,
                                 is_organization_admin=True)
token, _ = PersonalAccessToken.generate(profile, "connector")
session = OrgAwareRefreshToken.for_user_and_org(user, org, profile).access_token
print(json.dumps({"org": str(org.id), "token": token, "session": str(session)}))  # noqa: T201
