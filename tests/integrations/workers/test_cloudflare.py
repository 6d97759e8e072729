"""The promises of the target `cloudflare`, against a stand-in that checks each request and serves what was uploaded."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

pytest.importorskip("cloudflare", reason="the extra `cloudflare` is not installed")

from mcp_server.domain.deployments.configuration import Config
from mcp_server.domain.deployments.spec import Operation
from mcp_server.domain.deployments.targets import PHASES, Facts, PhaseFailed, Subject, Work
from mcp_server.domain.state.kv_values import Entry
from mcp_server.integrations.cloudflare import calling
from mcp_server.integrations.cloudflare.calling import Account, CloudFailed, Token, failure, seconds_of
from mcp_server.integrations.cloudflare.mirror import CloudflareRemote
from mcp_server.integrations.targets.cloudflare import CloudflareTarget
from mcp_server.integrations.workers.source import Sources
from mcp_server.kernel.errors import InvalidTransition, OpsError, Unavailable, ValidationFailed
from mcp_server.kernel.handling import HandlerFailed
from tests.integrations.workers.cloudflare_stand_in import ACCOUNT, TOKEN, Cloudflare, Script, cloudflare, error
from tests.integrations.workers.programs import ESBUILD, needs_workerd

pytestmark = pytest.mark.anyio
SOURCE = (
    "export default { fetch(r, env) { return new Response(`%s ${env.GREETING} ${env.LIMITS.n} ${env.KEY.length}`) } }"
)
BINDINGS = {
    "GREETING": {"text": "hi"},
    "LIMITS": {"json": {"n": 3}},
    "KEY": {"secret": "KEY"},
    "CACHE": {"kv": "cache"},
}
SECRET = "hush-hush-12"


class Rollout:
    """Carries out operations as the domain does: phase by phase, each again where its outcome is not known."""

    def __init__(self, target: CloudflareTarget, cloud: Cloudflare, site: str) -> None:
        self.target = target
        self.cloud = cloud
        self.site = site
        self.sources: dict[str, Any] = {"site": SOURCE % "first"}
        self.live: Facts | None = None
        self.revision = 0
        self.runs = 0
        self.waits: list[float] = []

    def subject(self, **more: Any) -> Subject:
        service = {
            "name": "web",
            "modules": "code/site",
            "compatibility_date": "2026-01-01",
            "bindings": BINDINGS,
        } | more
        config = Config.model_validate({"services": [service], "secrets": {"KEY": "env:KEY"}})
        live = None if self.live is None else self.revision
        return Subject("deployment_x", "site", "dev", "cloudflare", self.revision + 1, config, live, config, self.live)

    async def phase(self, work: Work, tries: int = 5) -> Facts:
        for attempt in range(tries):
            try:
                return await self.target.act(Work(*[*_fields(work)[:4], attempt > 0, *_fields(work)[5:]]))
            except PhaseFailed as failed:
                if failed.retry_after_seconds is None:
                    raise
                self.waits.append(failed.retry_after_seconds)
        raise AssertionError(f"{work.phase} was tried {tries} times")

    async def run(self, operation: Operation = "apply", revision: int | None = None, **more: Any) -> Facts:
        subject = self.subject(**more)
        if revision is not None:
            subject = Subject(*[*_fields(subject)[:4], revision, *_fields(subject)[5:]])
        self.runs += 1
        done: dict[str, Facts] = {}
        for phase in PHASES[operation]:
            work = Work(
                subject, operation, phase, f"run_{self.runs}", False, done, lambda name: SECRET, _nothing, _nothing
            )
            try:
                done[phase] = await self.phase(work)
            except PhaseFailed:
                await self.phase(Work(*[*_fields(work)[:2], "revert", *_fields(work)[3:]]))
                raise
        facts = {name: value for told in done.values() for name, value in told.items()}
        if operation in ("apply", "rollback"):
            self.live, self.revision = facts, subject.revision
        return facts

    async def answer(self) -> str:
        async with httpx2.AsyncClient() as client:
            return (await client.get(self.site)).text

    def uploads(self) -> list[str]:
        return [word for word in self.cloud.seen if word.endswith("/versions") and word.startswith("POST")]


def _fields(one: Any) -> list[Any]:
    return [getattr(one, name) for name in one.__slots__]


async def _nothing(*_: Any) -> None:
    pass


@asynccontextmanager
async def deploying(folder: Path) -> AsyncGenerator[Rollout]:
    async with cloudflare(folder / "cloud") as (cloud, api, site):
        rollout: Rollout

        async def document(namespace: str, key: str) -> Any:
            return rollout.sources[key]

        sources = Sources((folder,), document, ESBUILD)
        target = CloudflareTarget(folder / "built", sources, Account(ACCOUNT, Token(TOKEN), api), site)
        rollout = Rollout(target, cloud, site)
        yield rollout
        await target.close()


@pytest.mark.slow
@needs_workerd
async def test_a_worker_is_created_answers_and_a_further_version_replaces_it(tmp_path: Path):
    async with deploying(tmp_path) as one:
        observed = await one.target.observe(one.subject())
        outlook = await one.target.outlook(one.subject(crons=["*/5 * * * *"]), "apply", observed)
        assert [(step.action, step.what) for step in outlook.steps] == [
            ("create", "Worker site-dev-web"),
            ("bind", "CACHE of site-dev-web"),
            ("set", "secret KEY of site-dev-web"),
            ("share", "100 % of the requests of site-dev-web"),
            ("schedule", "site-dev-web"),
            ("turn on", "workers.dev of site-dev-web"),
        ]
        facts = await one.run(crons=["*/5 * * * *"])
        one.cloud.scripts["site-dev-web"].versions[0]["metadata_in"]["bindings"].pop()  # what KV is here, workerd lacks
        assert await one.answer() == "first hi 3 12"
        assert facts["url"] == one.site
        script = one.cloud.scripts["site-dev-web"]
        assert (script.crons, script.subdomain) == (["*/5 * * * *"], {"enabled": True, "previews_enabled": False})
        assert [title["title"] for title in one.cloud.namespaces.values()] == ["cache"]
        one.sources["site"] = SOURCE % "second"
        await one.run()
        assert (await one.answer()).startswith("second")
        assert (len(script.versions), len(one.uploads()), script.crons) == (2, 1, [])
        one.sources["site"] = "what makes no Worker { any more"
        await one.run("rollback", revision=1)
        assert (await one.answer()).startswith("first") and script.crons == ["*/5 * * * *"], "as it was then"
        assert (len(script.versions), len(one.cloud.namespaces)) == (2, 1)
        await one.run("destroy")
        assert one.cloud.scripts == {}


async def test_what_was_bound_by_hand_is_shown_before_it_is_taken_away(tmp_path: Path):
    async with deploying(tmp_path) as one:
        await one.run()
        bound = one.cloud.scripts["site-dev-web"].versions[0]["metadata_in"]["bindings"]
        bound.append({"type": "secret_text", "name": "BY_HAND", "text": "x"})
        observed = await one.target.observe(one.subject())
        steps = (await one.target.outlook(one.subject(), "apply", observed)).steps
        assert ("unbind", "BY_HAND of site-dev-web", "secret text") in [tuple(step) for step in steps]


async def test_going_back_shows_the_version_that_it_shares_out_and_uploads_none(tmp_path: Path):
    async with deploying(tmp_path) as one:
        await one.run()
        one.sources["site"] = SOURCE % "second"
        await one.run()
        subject = replace(one.subject(), revision=1)
        observed = await one.target.observe(subject)
        steps = [tuple(step) for step in (await one.target.outlook(subject, "rollback", observed)).steps]
        version = one.cloud.scripts["site-dev-web"].versions[-1]["id"]
        assert steps[0] == ("go back", "Worker site-dev-web", f"to version {version}, with the bindings that it has")
        assert not {"upload", "create", "bind", "set"} & {step[0] for step in steps}
        del one.cloud.scripts["site-dev-web"].versions[-1]
        with pytest.raises(InvalidTransition, match="No version of site-dev-web is there that was uploaded for it"):
            await one.target.outlook(subject, "rollback", observed)


async def test_nobody_goes_back_to_a_version_that_is_not_there_any_more(tmp_path: Path):
    async with deploying(tmp_path) as one:
        await one.run()
        await one.run("destroy")
        with pytest.raises(InvalidTransition, match=r"go back to revision 1 of site.*deployments_plan"):
            await one.run("rollback", revision=1)
        assert one.uploads() == [] and one.cloud.scripts == {}


async def test_a_share_of_the_requests_goes_to_a_new_version_and_the_rest_to_the_one_before(tmp_path: Path):
    async with deploying(tmp_path) as one:
        await one.run()
        await one.run(percent=10)
        newest, oldest = one.cloud.scripts["site-dev-web"].versions
        assert one.cloud.scripts["site-dev-web"].deployments[0]["versions"] == [
            {"version_id": newest["id"], "percentage": 10},
            {"version_id": oldest["id"], "percentage": 90},
        ]


@pytest.mark.parametrize("how", ["after", "answers"])
@pytest.mark.parametrize("word", ["PUT accounts/acc0/workers/scripts/site-dev-web", "POST accounts/acc0/storage"])
@pytest.mark.parametrize("status", [500, None])
async def test_what_may_have_been_done_is_looked_for_before_it_is_done_again(
    tmp_path: Path, how: str, word: str, status: int | None
):
    async with deploying(tmp_path) as one:
        getattr(one.cloud, how).append((word, None if status is None else error(status)))
        await one.run()
        assert len(one.cloud.scripts["site-dev-web"].versions) == 1
        assert len(one.cloud.namespaces) == 1
        assert one.waits == [5.0]


@pytest.mark.parametrize(
    "word",
    [
        "POST accounts/acc0/workers/scripts/site-dev-web/versions",
        "POST accounts/acc0/workers/scripts/site-dev-web/deployments",
    ],
)
@pytest.mark.parametrize("how", ["after", "answers"])
async def test_a_further_version_is_uploaded_and_shared_once_whatever_is_answered(tmp_path: Path, word: str, how: str):
    async with deploying(tmp_path) as one:
        await one.run()
        getattr(one.cloud, how).append((word, error(500)))
        await one.run()
        script = one.cloud.scripts["site-dev-web"]
        assert (len(script.versions), len(script.deployments)) == (2, 2)


def project(folder: Path, **said: Any) -> dict[str, Any]:
    """What a service says that comes from a folder with this configuration."""
    (folder / "w.js").write_text("export default {}")
    config = {"name": "w", "main": "w.js", "no_bundle": True, "compatibility_date": "2026-01-01"} | said
    (folder / "wrangler.json").write_text(json.dumps(config))
    return {"modules": None, "folder": str(folder), "bindings": {}}


def answering(cloud: Cloudflare) -> dict[str, str]:
    """Which Worker answers, by address."""
    zone = {one["pattern"]: one["script"] for one in cloud.routes.values()}
    return zone | {one["hostname"]: one["service"] for one in cloud.domains.values()}


FILES = {"index.html": b"<p>home", "deep/page.html": b"<p>deep", "pixel.png": b"\x89PNG\xff", "same.html": b"<p>home"}
SERVED = {"directory": "./public", "binding": "ASSETS", "not_found_handling": "none"}


def with_assets(folder: Path, assets: dict[str, Any] = SERVED, **files: bytes) -> dict[str, Any]:
    """What a service says whose project has files beside its Worker."""
    for name, content in (FILES | files).items():
        (folder / "public" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "public" / name).write_bytes(content)
    said = project(folder, assets=assets)
    (folder / "w.js").write_text("export default { fetch: () => new Response('the Worker') }")
    return said


@pytest.mark.slow
@needs_workerd
async def test_a_worker_is_deployed_with_its_assets_which_are_sent_once_and_it_answers_the_rest(tmp_path: Path):
    async with deploying(tmp_path) as one, httpx2.AsyncClient(trust_env=False) as client:
        said = with_assets(tmp_path, _headers=b"/*\n  X-A: b\n")
        subject = one.subject(**said)
        steps = (await one.target.outlook(subject, "apply", await one.target.observe(subject))).steps
        assert ("serve", "4 assets of w", "26 bytes") in [tuple(step) for step in steps]
        await one.run(**said)
        answers = {path: await client.get(f"{one.site}{path}") for path in ("/", "/deep/page", "/pixel.png", "/else")}
        assert {path: answer.content for path, answer in answers.items()} == {
            "/": b"<p>home",
            "/deep/page": b"<p>deep",
            "/pixel.png": b"\x89PNG\xff",
            "/else": b"the Worker",
        }
        kinds = [answers[path].headers["content-type"] for path in ("/", "/pixel.png")]
        assert kinds == ["text/html; charset=utf-8", "image/png"]
        version = one.cloud.scripts["w"].versions[0]["metadata_in"]
        assert version["assets"]["config"] == {"not_found_handling": "none", "_headers": "/*\n  X-A: b\n"}
        assert {"type": "assets", "name": "ASSETS"} in version["bindings"]
        subject = one.subject(**said)
        assert one.target.drift(subject, await one.target.observe(subject)) == []
        before = one.cloud.seen.count("POST accounts/acc0/workers/assets/upload")
        assert (before, len(one.cloud.assets)) == (2, 3), "in parts, and what is the same once"
        (tmp_path / "public/index.html").write_text("<p>new")
        await one.run(**said)
        assert one.cloud.seen.count("POST accounts/acc0/workers/assets/upload") == before + 1
        assert (await client.get(f"{one.site}/")).content == b"<p>new"


@pytest.mark.parametrize("how", ["after", "answers"])
@pytest.mark.parametrize(
    "word", ["POST accounts/acc0/workers/scripts/w/assets-upload-session", "POST accounts/acc0/workers/assets/upload"]
)
async def test_assets_arrive_whatever_is_answered_and_one_version_has_them(tmp_path: Path, how: str, word: str):
    async with deploying(tmp_path) as one:
        getattr(one.cloud, how).append((word, error(500)))
        await one.run(**with_assets(tmp_path))
        (version,) = one.cloud.scripts["w"].versions
        assert set(version["assets"]) == {f"/{name}" for name in FILES} and one.waits == [5.0]


@pytest.mark.parametrize(
    ("assets", "files", "why"),
    [
        ({"directory": "./nothing"}, {}, "name no directory that is there"),
        ({"binding": "A"}, {}, "name no directory that is there"),
        (SERVED, {".assetsignore": b"*.png"}, r"\.assetsignore, which is not read here"),
        (SERVED, {"big.bin": b"0" * (5 * 2**20)}, "are 5 files of 5242906 bytes; at most 500 of 5242880"),
        (SERVED | {"experimental": True}, {}, "experimental: nothing is called so there"),
        ({"directory": "/etc"}, {}, "lies outside of the folders"),
    ],
)
async def test_assets_that_are_too_large_or_would_be_served_otherwise_are_refused(
    tmp_path: Path, assets: dict[str, Any], files: dict[str, bytes], why: str
):
    async with deploying(tmp_path) as one:
        subject = one.subject(**with_assets(tmp_path, assets, **files))
        with pytest.raises(OpsError, match=why):
            await one.target.outlook(subject, "apply", await one.target.observe(subject))


DOMAIN = {"pattern": "shop.example.org", "custom_domain": True}


async def test_addresses_are_shown_taken_kept_and_let_go(tmp_path: Path):
    async with deploying(tmp_path) as one:
        one.cloud.scripts["other"] = Script()
        one.cloud.routes["r0"] = {"id": "r0", "pattern": "example.org/a/*", "script": "other"}
        first = project(tmp_path, routes=["example.org/a/*", DOMAIN], triggers={"crons": ["1 * * * *"]})
        outlook = await one.target.outlook(
            one.subject(**first), "apply", await one.target.observe(one.subject(**first))
        )
        steps = [(step.action, step.what) for step in outlook.steps]
        assert ("route", "example.org/a/* to w") in steps and ("route", "shop.example.org to w") in steps
        assert "example.org/a/* is answered by other now." in outlook.warnings
        facts = await one.run(**first)
        assert answering(one.cloud) == {"example.org/a/*": "w", "shop.example.org": "w"}
        assert facts["url"] == "https://shop.example.org" and one.cloud.scripts["w"].subdomain == {}
        subject = one.subject(**first)
        assert one.target.drift(subject, await one.target.observe(subject)) == []
        one.cloud.routes["r0"]["script"] = "other"
        drift = one.target.drift(subject, await one.target.observe(subject))
        assert drift == ["routes of Worker w is not what was brought live"]
        one.cloud.routes["r0"]["script"] = "w"
        second = project(tmp_path, routes=[{"pattern": "*.example.org/b", "zone_name": "example.org"}])
        outlook = await one.target.outlook(
            one.subject(**second), "apply", await one.target.observe(one.subject(**second))
        )
        assert {step.what for step in outlook.steps if step.action == "take away"} == {
            "example.org/a/* of w",
            "shop.example.org of w",
        }
        await one.run(**second)
        assert (answering(one.cloud), one.cloud.scripts["w"].crons) == ({"*.example.org/b": "w"}, [])
        await one.run("destroy", **second)
        assert (answering(one.cloud), set(one.cloud.scripts)) == ({}, {"other"})


@pytest.mark.parametrize("is_new", [True, False])
async def test_what_is_undone_is_reached_as_before(tmp_path: Path, is_new: bool):
    async with deploying(tmp_path) as one:
        one.cloud.scripts["other"] = Script()
        if not is_new:
            await one.run(**project(tmp_path, triggers={"crons": ["1 * * * *"]}))
        one.cloud.routes["r0"] = {"id": "r0", "pattern": "example.org/a/*", "script": "other"}
        more = project(tmp_path, routes=[DOMAIN, "example.org/a/*", "example.org/late"])
        one.cloud.answers.append(("POST zones/zone0/workers/routes", error(403, "no right")))
        with pytest.raises(PhaseFailed, match="no right"):
            await one.run(**more)
        assert answering(one.cloud) == {"example.org/a/*": "other"}
        if is_new:
            assert set(one.cloud.scripts) == {"other"}
        else:
            script = one.cloud.scripts["w"]
            assert (script.crons, script.subdomain["enabled"], len(script.versions)) == (["1 * * * *"], True, 2)


async def test_a_worker_that_no_service_is_any_more_is_taken_away_once_the_rest_is_checked(tmp_path: Path):
    async with deploying(tmp_path) as one:
        await one.run()
        renamed = project(tmp_path)
        outlook = await one.target.outlook(
            one.subject(**renamed), "apply", await one.target.observe(one.subject(**renamed))
        )
        assert ("delete", "Worker site-dev-web") in [(step.action, step.what) for step in outlook.steps]
        await one.run(**renamed)
        assert set(one.cloud.scripts) == {"w"}


async def test_an_address_in_no_zone_that_the_token_sees_is_refused_with_what_to_do(tmp_path: Path):
    async with deploying(tmp_path) as one:
        with pytest.raises(Unavailable, match="no zone of elsewhere.net/x; name its zone_id"):
            await one.target.observe(one.subject(**project(tmp_path, routes=["elsewhere.net/x"])))


async def test_a_limit_is_waited_for_as_long_as_cloudflare_says(tmp_path: Path):
    async with deploying(tmp_path) as one:
        one.cloud.answers.append(("GET", error(429, **{"Retry-After": "37"})))
        one.cloud.answers.append(("GET", error(409)))
        await one.run()
        assert one.waits == [37.0, 5.0]


async def test_a_refusal_ends_the_run_with_what_cloudflare_said_and_puts_back_what_was_there(tmp_path: Path):
    async with deploying(tmp_path) as one:
        await one.run()
        before = one.cloud.scripts["site-dev-web"].deployments[0]["versions"]
        one.cloud.answers.append(("PUT accounts/acc0/workers/scripts/site-dev-web/schedules", error(400, "bad cron")))
        with pytest.raises(PhaseFailed, match="400: 1 bad cron"):
            await one.run(crons=["1 1 1 1 1"])
        assert one.cloud.scripts["site-dev-web"].deployments[0]["versions"] == before
        one.live, one.cloud.scripts = None, {}
        one.cloud.answers.append(("POST accounts/acc0/workers/scripts/site-dev-web/subdomain", error(403, "not yours")))
        with pytest.raises(PhaseFailed, match="403: 1 not yours"):
            await one.run()
        assert one.cloud.scripts == {}


async def test_a_wrong_token_is_refused_and_never_shown(tmp_path: Path):
    async with cloudflare(tmp_path) as (_, api, site):
        account = Account(ACCOUNT, Token("wrong-hush"), api)
        target = CloudflareTarget(tmp_path, Sources((), _nothing), account, site)
        with pytest.raises(CloudFailed) as caught:
            await target._scripts.exists("x")
        assert (caught.value.outcome, caught.value.status) == ("refused", 401)
        assert "hush" not in f"{caught.value} {account!r} {caught.value.__dict__}"
        await target.close()


async def test_who_takes_a_request_and_never_answers_is_waited_for_so_long_and_then_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(calling, "TIMEOUT_SECONDS", 0.3)

    async def silence(reader: Any, writer: Any) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await reader.read()
        writer.close()

    async with await asyncio.start_server(silence, "127.0.0.1", 0) as server:
        address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        target = CloudflareTarget(tmp_path, Sources((), _nothing), Account(ACCOUNT, Token("x"), address))
        with pytest.raises(CloudFailed, match="did not answer") as caught:
            await target._scripts.exists("x")
        assert (caught.value.outcome, caught.value.retry_after_seconds) == ("unknown", 5.0)
        await target.close()


async def test_nobody_there_is_an_unknown_outcome(tmp_path: Path):
    target = CloudflareTarget(tmp_path, Sources((), _nothing), Account(ACCOUNT, Token("x"), "http://127.0.0.1:1"))
    with pytest.raises(CloudFailed) as caught:
        await target._scripts.exists("x")
    assert caught.value.outcome == "unknown"
    await target.close()


async def test_drift_names_what_is_not_what_was_brought_live(tmp_path: Path):
    async with deploying(tmp_path) as one:
        await one.run()
        assert one.target.drift(one.subject(), await one.target.observe(one.subject())) == []
        one.cloud.scripts["site-dev-web"].crons.append("* * * * *")
        one.cloud.scripts["site-dev-web"].versions[0]["metadata_in"]["bindings"][0]["text"] = "changed by hand"
        drift = one.target.drift(one.subject(), await one.target.observe(one.subject()))
        assert [line.split()[0] for line in drift] == ["crons", "settings"]
        one.cloud.scripts.clear()
        drift = one.target.drift(one.subject(), await one.target.observe(one.subject()))
        assert "exists of Worker site-dev-web is not what was brought live" in drift


async def test_no_secret_stands_in_what_is_told_planned_or_kept(tmp_path: Path):
    async with deploying(tmp_path) as one:
        observed = await one.target.observe(one.subject())
        told = [observed, await one.target.outlook(one.subject(), "apply", observed), await one.run()]
        told.append(await one.target.observe(one.subject()))
        assert SECRET not in str(told) and TOKEN not in str(told)
        kept = [path.read_text() for path in (tmp_path / "built").rglob("*") if path.is_file()]
        assert kept and not any(SECRET in text for text in kept)


async def test_what_this_desk_does_not_make_at_cloudflare_is_refused_by_name(tmp_path: Path):
    async with deploying(tmp_path) as one:
        subject = one.subject(bindings={"JOBS": {"queue": "jobs"}, "FILES": {"r2": "files"}})
        with pytest.raises(ValidationFailed, match="queue JOBS; R2 bucket FILES"):
            await one.target.outlook(subject, "apply", await one.target.observe(subject))


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (400, "refused"),
        (401, "refused"),
        (403, "refused"),
        (404, "refused"),
        (409, "later"),
        (429, "later"),
        (500, "unknown"),
        (522, "unknown"),
    ],
)
def test_what_an_answer_means(status: int, outcome: str):
    assert failure(status, "", None).outcome == outcome
    assert (failure(status, "", "3").retry_after_seconds is None) == (outcome == "refused")


def test_how_long_to_wait_is_bounded():
    assert [seconds_of(text) for text in ("3", "1e9", "-1", "soon", None, "nan")] == [3, 900, 0.1, 5, 5, 5]


@pytest.mark.slow
async def test_a_mirror_reads_and_writes_a_namespace_in_bulk_page_by_page(tmp_path: Path):
    async with cloudflare(tmp_path) as (cloud, api, _):
        cloud.kv_limit = 2
        remote = CloudflareRemote(Account(ACCOUNT, Token(TOKEN), api))
        held = {f"k{number}": Entry(str(number).encode(), {"n": number}) for number in range(250)}
        held |= {"raw": Entry(b"\xff\x00"), "a b/é?": Entry("é".encode())}
        assert await remote.write("cache", held) == []
        found: dict[str, Entry] = {}
        async for part in remote.entries("cache"):
            found |= part
        assert found == held
        cloud.unsuccessful.add("k1")
        assert await remote.write("cache", {"k1": Entry(b"x")}) == ["k1"]
        assert await remote.delete("cache", ["k1", "none"]) == []
        assert [one["title"] for one in cloud.namespaces.values()] == ["cache"]
        cloud.unsuccessful.clear()
        bad = {"é" * 300, "."}  # state takes 512 characters, and KV 512 bytes
        some = {f"n{number}": Entry(b"y") for number in range(20)} | {key: Entry(b"z") for key in bad}
        assert set(await remote.write("cache", some)) == bad
        (values,) = cloud.values.values()
        assert {f"n{number}" for number in range(20)} <= set(values), "what one key is refused for keeps back no other"
        cloud.answers.append(("PUT", error(429, **{"Retry-After": "7"})))
        with pytest.raises(HandlerFailed) as caught:
            await remote.write("cache", {"k": Entry(b"x")})
        assert (caught.value.retryable, caught.value.retry_after_seconds) == (True, 7.0)
        await remote.close()
