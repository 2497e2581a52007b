"""Signs up, in, refreshes and out with the real Python supabase package.

SUPABASE_URL names the server; SUPABASE_KEY may be any text; SERVER_LOG is the file with the server's
log, where the links are that a mail would carry.
Exits 0 only if every check holds.
"""

import asyncio
import os
import re
import sys
import time
import traceback
import uuid
from urllib.parse import parse_qs, urlsplit

import httpx
from supabase import AsyncClientOptions, ClientOptions, acreate_client, create_client
from supabase_auth.errors import AuthApiError, AuthError, AuthWeakPasswordError

URL = os.environ.get("SUPABASE_URL", "http://127.0.0.1:2024")
KEY = os.environ.get("SUPABASE_KEY", "any-key")
EMAIL = f"py-{uuid.uuid4()}@example.com"
PASSWORD = "correct horse"
NEW_PASSWORD = "battery staple"
REDIRECT_TO = "http://localhost:3000/welcome"


def client(flow_type="implicit"):
    options = ClientOptions(auto_refresh_token=False, persist_session=True, flow_type=flow_type)
    return create_client(URL, KEY, options)


def new_user():
    email = f"py-{uuid.uuid4()}@example.com"
    client().auth.sign_up({"email": email, "password": PASSWORD})
    return email


def links():
    """The links in the server's log with their codes, oldest first."""
    with open(os.environ["SERVER_LOG"], encoding="utf-8") as file:
        log = re.sub(r"\x1b\[[0-9;]*m", "", file.read())
    return re.findall(r"link=(\S+) code=(\d{6})", log)


def mailed(ask):
    """Asks for a link, and answers the one that this has put into the log."""
    before = len(links())
    ask()
    deadline = time.monotonic() + 10
    while len(links()) == before:
        assert time.monotonic() < deadline, "no link in the log"
        time.sleep(0.02)
    return links()[-1]


def followed(link):
    """Where a link leads to: the parameters of the query and those behind the `#`."""
    answer = httpx.get(link)
    assert answer.status_code == 303, answer.status_code
    to = urlsplit(answer.headers["location"])
    assert f"{to.scheme}://{to.netloc}{to.path}" == REDIRECT_TO, to
    return tuple(
        {name: values[0] for name, values in parse_qs(part).items()}
        for part in (to.query, to.fragment)
    )


def sign_in(password):
    tab = client()
    return tab, tab.auth.sign_in_with_password({"email": EMAIL, "password": password}).session


def refused(status, code, call):
    try:
        call()
    except AuthApiError as error:
        assert (error.status, error.code) == (status, code), (error.status, error.code)
        return error
    raise AssertionError(f"expected {code}")


def alive(token):
    try:
        return client().auth.get_user(token) is not None
    except AuthError:
        return False


def sign_up_gives_a_session_and_keeps_the_data():
    tab = client()
    answer = tab.auth.sign_up(
        {"email": EMAIL, "password": PASSWORD, "options": {"data": {"name": "Ada", "old": 1}}}
    )
    assert answer.user.email == EMAIL
    assert answer.user.user_metadata["name"] == "Ada"
    assert len(answer.user.identities) == 1
    assert answer.session.expires_in == 3600
    tab.auth.sign_out()


def taken_weak_and_malformed_sign_ups_are_refused():
    def sign_up(email, password):
        return lambda: client().auth.sign_up({"email": email, "password": password})

    refused(422, "user_already_exists", sign_up(EMAIL, PASSWORD))
    refused(400, "validation_failed", sign_up("nobody", PASSWORD))
    refused(422, "anonymous_provider_disabled", lambda: client().auth.sign_in_anonymously())
    try:
        sign_up(f"py-{uuid.uuid4()}@example.com", "short")()
    except AuthWeakPasswordError as error:
        assert error.reasons == ["length"], error.reasons
    else:
        raise AssertionError("expected weak_password")


def wrong_password_and_unknown_address_look_the_same():
    def attempt(email, password):
        credentials = {"email": email, "password": password}
        return refused(
            400, "invalid_credentials", lambda: client().auth.sign_in_with_password(credentials)
        )

    unknown = f"py-{uuid.uuid4()}@example.com"
    assert attempt(EMAIL, "not this one").message == attempt(unknown, PASSWORD).message


def sign_in_get_user_get_claims():
    tab, session = sign_in(PASSWORD)
    assert tab.auth.get_user().user.id == session.user.id
    claims = tab.auth.get_claims()["claims"]
    assert claims["sub"] == session.user.id
    assert claims["aud"] == "authenticated"
    assert claims["iss"] == f"{URL}/auth/v1"
    tab.auth.sign_out()


def refresh_gives_a_new_pair():
    tab, session = sign_in(PASSWORD)
    refreshed = tab.auth.refresh_session().session
    assert refreshed.refresh_token != session.refresh_token
    # The client that lost the answer asks again with the old token.
    again = client().auth.refresh_session(session.refresh_token).session
    assert again.refresh_token == refreshed.refresh_token
    unknown = "fjroia46z6ve"
    refused(400, "refresh_token_not_found", lambda: client().auth.refresh_session(unknown))
    refused(400, "validation_failed", lambda: client().auth.refresh_session("nothing"))
    client().auth.set_session(refreshed.access_token, refreshed.refresh_token)


def update_merges_the_data():
    tab, _ = sign_in(PASSWORD)
    user = tab.auth.update_user({"data": {"team": "blue", "old": None}}).user
    known = [user.user_metadata.get(name) for name in ("name", "team", "old", "sub")]
    assert known == ["Ada", "blue", None, user.id], user.user_metadata
    assert tab.auth.get_user().user.user_metadata == user.user_metadata


def a_new_password_signs_the_other_sessions_out():
    tab, kept = sign_in(PASSWORD)
    _, other = sign_in(PASSWORD)
    refused(422, "same_password", lambda: tab.auth.update_user({"password": PASSWORD}))
    tab.auth.update_user({"password": NEW_PASSWORD})
    assert alive(kept.access_token)
    assert not alive(other.access_token)
    refused(400, "invalid_credentials", lambda: sign_in(PASSWORD))
    sign_in(NEW_PASSWORD)


def sign_out_keeps_to_its_scope():
    tabs, sessions = zip(*(sign_in(NEW_PASSWORD) for _ in range(3)))

    def living():
        return [alive(session.access_token) for session in sessions]

    tabs[0].auth.sign_out({"scope": "local"})
    assert living() == [False, True, True], living()
    tabs[1].auth.sign_out({"scope": "others"})
    assert living() == [False, True, False], living()
    tabs[1].auth.sign_out()
    assert living() == [False, False, False], living()


def a_token_that_is_none_is_refused():
    token = sign_in(NEW_PASSWORD)[1].access_token
    head, body, signature = token.split(".")
    forged = ".".join([head, body, signature[::-1]])
    refused(403, "bad_jwt", lambda: client().auth.get_user(forged))


def a_forgotten_password_is_replaced_by_following_a_link():
    email = new_user()
    tab = client()
    ask = {"redirect_to": REDIRECT_TO}
    link, _ = mailed(lambda: tab.auth.reset_password_for_email(email, ask))
    _, answer = followed(link)
    assert answer["type"] == "recovery", answer
    tab.auth.set_session(answer["access_token"], answer["refresh_token"])
    tab.auth.update_user({"password": NEW_PASSWORD})
    client().auth.sign_in_with_password({"email": email, "password": NEW_PASSWORD})
    refused(
        429, "over_email_send_rate_limit", lambda: tab.auth.reset_password_for_email(email, ask)
    )
    tab.auth.reset_password_for_email(f"py-{uuid.uuid4()}@example.com", ask)


def a_link_signs_in_and_signs_up_who_is_new():
    email = f"py-{uuid.uuid4()}@example.com"

    def ask(create):
        options = {"email_redirect_to": REDIRECT_TO, "should_create_user": create}
        client().auth.sign_in_with_otp({"email": email, "options": options})

    refused(422, "otp_disabled", lambda: ask(False))
    link, _ = mailed(lambda: ask(True))
    _, answer = followed(link)
    assert client().auth.get_user(answer["access_token"]).user.email == email


def a_code_and_a_token_hash_sign_in_once():
    for is_code in (True, False):
        email = new_user()
        link, code = mailed(lambda: client().auth.sign_in_with_otp({"email": email}))
        token = parse_qs(urlsplit(link).query)["token"][0]
        proof = {"email": email, "token": code} if is_code else {"token_hash": token}
        proof["type"] = "email"
        assert client().auth.verify_otp(proof).user.email == email
        refused(403, "otp_expired", lambda: client().auth.verify_otp(proof))


def with_pkce_only_the_client_that_asked_gets_in():
    for is_recovery in (True, False):
        email = new_user()
        tab = client("pkce")

        def ask(tab, email):
            if is_recovery:
                tab.auth.reset_password_for_email(email, {"redirect_to": REDIRECT_TO})
            else:
                options = {"email_redirect_to": REDIRECT_TO}
                tab.auth.sign_in_with_otp({"email": email, "options": options})

        link, _ = mailed(lambda: ask(tab, email))
        query, fragment = followed(link)
        assert fragment == {}, fragment
        stranger = client("pkce")
        ask(stranger, new_user())
        code = {"auth_code": query["code"]}
        refused(400, "bad_code_verifier", lambda: stranger.auth.exchange_code_for_session(code))
        assert tab.auth.exchange_code_for_session(code).user.email == email
        tab.auth.update_user({"password": NEW_PASSWORD})


def the_async_client_works_too():
    async def run():
        tab = await acreate_client(URL, KEY, AsyncClientOptions(auto_refresh_token=False))
        await tab.auth.sign_in_with_password({"email": EMAIL, "password": NEW_PASSWORD})
        assert (await tab.auth.get_user()).user.email == EMAIL
        await tab.auth.refresh_session()
        await tab.auth.sign_out()

    asyncio.run(run())


CHECKS = [
    sign_up_gives_a_session_and_keeps_the_data,
    taken_weak_and_malformed_sign_ups_are_refused,
    wrong_password_and_unknown_address_look_the_same,
    sign_in_get_user_get_claims,
    refresh_gives_a_new_pair,
    update_merges_the_data,
    a_new_password_signs_the_other_sessions_out,
    sign_out_keeps_to_its_scope,
    a_token_that_is_none_is_refused,
    a_forgotten_password_is_replaced_by_following_a_link,
    a_link_signs_in_and_signs_up_who_is_new,
    a_code_and_a_token_hash_sign_in_once,
    with_pkce_only_the_client_that_asked_gets_in,
    the_async_client_works_too,
]


def main():
    failed = 0
    for check in CHECKS:
        name = check.__name__.replace("_", " ")
        try:
            check()
            print(f"ok    {name}")
        except Exception:
            failed += 1
            print(f"FAIL  {name}\n{traceback.format_exc()}")
    print("supabase (Python): " + (f"{failed} failed" if failed else "all checks hold"))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
