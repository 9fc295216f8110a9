"""Drives every tool, resource and prompt with the official Python client, over stdio or HTTP, in one of both lifecycles.

usage: drive.py stdio COMMAND ARG... | drive.py http URL

The variable MODE is `legacy` (initialize, 2025-11-25) or `auto` (server/discover, 2026-07-28). Fails at the first answer that is not
as it should be; prints one line when all are.
"""

import asyncio
import json
import os
import sys

from mcp import Client, StdioServerParameters, types

MODE = os.environ.get("MODE", "auto")
RUN = f"{MODE}-{os.getpid()}"
PROJECT = "shop"
TOOLS = [
    "get_context", "find_tasks", "get_task", "get_project", "find_insights", "record_insight", "update_insight", "ask_human",
    "hand_off", "report_task",
]


def server():
    kind, *rest = sys.argv[1:]
    if kind == "http":
        return rest[0]
    return StdioServerParameters(command=rest[0], args=rest[1:], env=dict(os.environ))


async def answered(context, params):
    return types.ElicitResult(action="accept", content={"answer": "eu-west-1"})


async def call(client, name, wrong=False, **arguments):
    result = await client.call_tool(name, arguments)
    text = result.content[0].text
    assert result.is_error is (True if wrong else False), (name, text)
    if wrong:
        assert len(text) <= 500, text
        return text
    # Both forms carry the same.
    assert json.loads(text) == result.structured_content, name
    assert "\n" not in text and len(text) <= 24_000, name
    return result.structured_content


async def until(ask, what):
    """What was written is stored within a moment."""
    for _ in range(40):
        try:
            return await ask()
        except (AssertionError, KeyError):
            await asyncio.sleep(0.25)
    raise AssertionError(f"{what} did not appear")


async def tasks(client):
    key = f"SHOP-{RUN}"
    title = "Implement checkout \u202e\u200b flow"
    done = await call(client, "report_task", key=key, op="start", title=title, type="story", estimate=3, project=PROJECT)
    assert done["accepted"], done

    async def find():
        found = await call(client, "find_tasks", project=PROJECT, text=RUN, fields=["key", "title", "points"])
        assert found["total"] == 1
        return found

    found = await until(find, "the task")
    assert found["tasks"] == [{"key": key, "title": "Implement checkout flow", "points": 3.0}], found
    await call(client, "report_task", key=key, op="block", reason="waiting for the vendor", project=PROJECT)

    async def blocked():
        one = await call(client, "get_task", key=key, include=["timeline", "blockers", "children", "artifacts", "text"])
        assert one["task"]["status"] == "blocked" and one["task"]["blocked"] == "waiting for the vendor"
        return one

    one = await until(blocked, "the blocker")
    assert len(one["timeline"]) >= 2
    assert (await call(client, "get_project", project=PROJECT))["project"]["blocked"]["count"] >= 1
    assert any(project["id"] == PROJECT for project in (await call(client, "get_project"))["projects"])
    assert "did you mean `status`" in await call(client, "find_tasks", wrong=True, stauts=["open"], project=PROJECT)
    return key


async def insights(client, key):
    summary = f"Selected event-driven architecture for order processing {RUN}"
    decision = await call(
        client, "record_insight", type="decision", summary=summary, rationale="Decouples payment", confidence=0.9,
        applies_to=[f"path:src/{RUN}/**", f"task:{key}"], project=PROJECT,
    )
    assert decision["created"] is True

    async def found():
        found = await call(client, "find_insights", text=RUN, type=["decision"], project=PROJECT)
        assert [insight["id"] for insight in found["insights"]] == [decision["id"]]

    await until(found, "the decision")
    again = await call(
        client, "record_insight", type="decision", summary=summary, applies_to=[f"path:src/{RUN}/**", f"task:{key}"], project=PROJECT,
    )
    assert again["id"] == decision["id"] and again["created"] is False
    context = await call(client, "get_context", paths=[f"src/{RUN}/events.py"], project=PROJECT)
    assert any(known["id"] == decision["id"] for known in context["decisions"]), context
    assert "itself" in await call(client, "update_insight", wrong=True, id=decision["id"], action="confirm")
    secret = "ghp_" + "16C7e42F292c6912E7710c838347Ae178B4a"
    refused = await call(client, "record_insight", wrong=True, type="lesson", summary=f"use {secret}", project=PROJECT)
    assert "secret" in refused and secret not in refused, refused
    full = await call(client, "find_insights", id=decision["id"])
    assert full["insight"]["rationale"] == "Decouples payment"
    await call(client, "update_insight", id=decision["id"], action="retract", text="superseded by events")


async def people(client):
    asked = await call(client, "ask_human", question=f"Which region {RUN}?", wait=True, project=PROJECT)
    if MODE == "auto":
        assert (asked["answer"], asked["answered_via"]) == ("eu-west-1", "client"), asked
    else:
        assert asked["status"] == "open", asked
    offer = await call(client, "hand_off", to="any", summary=f"Finish the tests {RUN}", remaining=["timeouts"], project=PROJECT)

    async def status():
        return (await call(client, "find_insights", id=offer["id"]))["insight"]["status"]

    async def offered():
        assert await status() == "offered"

    async def accepted():
        assert await status() == "accepted"

    await until(offered, "the handoff")
    taken = await call(client, "hand_off", id=offer["id"], action="accept")
    assert taken["status"] in ("accepted", "pending"), taken
    await until(accepted, "that it was accepted")
    assert (await call(client, "hand_off", id=offer["id"], action="accept"))["status"] == "accepted"


async def lists(client, key):
    tools = await client.list_tools()
    assert [tool.name for tool in tools.tools] == TOOLS
    assert all(tool.output_schema and tool.annotations.destructive_hint is False for tool in tools.tools)
    assert len(client.instructions) <= 1_800 and "get_context" in client.instructions
    assert len((await client.list_prompts()).prompts) == 3
    prompt = await client.get_prompt("prepare_task", {"key": key})
    assert key in prompt.messages[0].content.text
    assert len((await client.list_resource_templates()).resource_templates) == 4
    uris = [str(resource.uri) for resource in (await client.list_resources()).resources]
    assert f"contextcore://project/{PROJECT}" in uris, uris
    for uri in (f"contextcore://project/{PROJECT}", f"contextcore://guidance/{PROJECT}", f"contextcore://task/{key}"):
        read = await client.read_resource(uri)
        assert len(read.contents[0].text) <= 24_000
    try:
        await client.read_resource("contextcore://task/NONE-1")
    except Exception as error:
        assert "NONE-1" in str(error), error
    else:
        raise AssertionError("a resource that does not exist was read")


async def main():
    async with Client(server(), mode=MODE, elicitation_callback=answered) as client:
        key = await tasks(client)
        await insights(client, key)
        await people(client)
        await lists(client, key)
        print(f"python {sys.argv[1]} {client.protocol_version}: every tool, resource and prompt answers")


asyncio.run(main())
