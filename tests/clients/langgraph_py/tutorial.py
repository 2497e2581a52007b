"""The client of the tutorial: two users, and a thread that only the first one sees.

BASE_URL names the server, SUPABASE_URL its sign-in (the server itself if unset), SUPABASE_KEY
may be any text. Exits 0 only if every answer is the documented one.
"""

import asyncio
import os
import uuid

import httpx
from langgraph_sdk import get_client

BASE_URL = os.environ.get("BASE_URL", "http://127.0.0.1:2024")
SUPABASE_URL = os.environ.get("SUPABASE_URL", BASE_URL)
SUPABASE_KEY = os.environ.get("SUPABASE_KEY", "any-key")
PASSWORD = "secure-password"


async def supabase(path, email):
    async with httpx.AsyncClient() as client:
        answer = await client.post(
            f"{SUPABASE_URL}/auth/v1/{path}",
            json={"email": email, "password": PASSWORD},
            headers={"apikey": SUPABASE_KEY},
        )
        assert answer.status_code == 200, answer.text
        return answer.json()


async def login(email):
    return (await supabase("token?grant_type=password", email))["access_token"]


async def blocked(status, call):
    try:
        await call
    except httpx.HTTPStatusError as error:
        assert error.response.status_code == status, error
        return error
    raise AssertionError("it should have been blocked")


async def main():
    name = f"tutorial-{uuid.uuid4()}"
    email1, email2 = f"{name}+1@example.com", f"{name}+2@example.com"
    for email in (email1, email2):
        await supabase("signup", email)

    token = await login(email1)
    user1_client = get_client(url=BASE_URL, headers={"Authorization": f"Bearer {token}"})
    thread = await user1_client.threads.create()
    print(f"User 1 created thread: {thread['thread_id']}")

    unauthenticated_client = get_client(url=BASE_URL)
    error = await blocked(403, unauthenticated_client.threads.create())
    print(f"Unauthenticated access blocked: {error}")

    token = await login(email2)
    user2_client = get_client(url=BASE_URL, headers={"Authorization": f"Bearer {token}"})
    error = await blocked(404, user2_client.threads.get(thread["thread_id"]))
    print(f"User 2 blocked from User 1's thread: {error}")

    assert await user1_client.threads.get(thread["thread_id"]) == thread


if __name__ == "__main__":
    asyncio.run(main())
