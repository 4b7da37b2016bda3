"""Enrolment by real gRPC and TLS: an agent without a certificate gets its node's, and nobody else does."""

import asyncio
import re
import subprocess
import time

import grpc
import grpc.aio
import pytest

from recorder.agent.enrolment import Enrolment
from recorder.agent.node_key import NodeKey
from recorder.collector.agents.turnstile import Turnstile
from recorder.model.enrolment import Refusal
from recorder.model.errors import Unreachable
from recorder.rpc.v1 import collector_pb2 as pb
from tests.collector.enrolling import QUICK, Clock, office, running
from tests.collector.ground import WAIT, ground


async def until(what):
    async with asyncio.timeout(WAIT):
        while not what():
            await asyncio.sleep(0.005)


async def enrolled(agent):
    async with asyncio.timeout(WAIT):
        await agent.enrolled.wait()


async def failure(call):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async with asyncio.timeout(WAIT):
            await call
    return caught.value.code(), caught.value.details()


def request():
    return pb.EnrollRequest(certificate_request=NodeKey.made().request.decode())


def names(pem):
    found = subprocess.run(
        ["openssl", "x509", "-noout", "-ext", "subjectAltName,extendedKeyUsage"],
        check=True,
        capture_output=True,
        text=True,
        input=pem,
    )
    return found.stdout


def test_an_agent_enrols_and_connects(tmp_path):
    """With the token of its pod alone it becomes its node's agent at the collector's own port for agents."""

    async def run():
        async with office(tmp_path) as made:
            made.nodes.tokens["good"] = "node-a"
            agent = made.agent(made.token("good\n"))
            with pytest.raises(Unreachable):
                agent.credentials()
            async with running(agent):
                await enrolled(agent)
            async with ground(made.certificates, tmp_path) as collector:
                address = f"localhost:{collector.agents.tcp_port}"
                async with grpc.aio.secure_channel(address, agent.credentials()) as channel:
                    for node in ("node-b", "node-a"):
                        call = channel.stream_stream("/recorder.rpc.v1.Collector/Connect")()
                        message = pb.AgentMessage(hello=pb.Hello(node=node, boot_id="boot"))
                        await call.write(message.SerializeToString())
                        if node == "node-b":
                            code, said = await call.code(), await call.details()
                        else:
                            await collector.until(lambda: "node-a" in collector.service.nodes)
                            call.cancel()
            return made.figures.enrolments, code, said

    enrolments, code, said = asyncio.run(run())
    assert enrolments == {"signed": 1}
    assert code is grpc.StatusCode.PERMISSION_DENIED
    assert "node-b" in said


def test_a_stream_ends_with_its_certificate(tmp_path, certificates):
    """The agent has another one by then; the collector says so, and takes it at once."""
    seen = []

    def ends(pem):
        seen.append(pem)
        return time.time() + (0.2 if len(seen) == 1 else 3600)

    async def run():
        async with ground(certificates, tmp_path) as collector:
            collector.service.certificate_ends = ends
            async with collector.agent("node-a") as agent:
                await agent.plan()
                how = await agent.ended()
            async with collector.agent("node-a"):
                await collector.until(lambda: "node-a" in collector.service.nodes)
            async with collector.local_agent("node-b"):  # which shows none
                await collector.until(lambda: "node-b" in collector.service.nodes)
            return how

    code, said = asyncio.run(run())
    assert code is grpc.StatusCode.UNAVAILABLE
    assert "connect again with a new one" in said
    shown = certificates.node("node-a").certificate.read_text()
    assert [each.decode() for each in seen] == [shown[shown.index("-----BEGIN") :]] * 2


def test_the_platform_says_which_node(tmp_path):
    """The certificate is for the node of the pod, for clients alone; names in the request do not count."""

    async def run():
        async with office(tmp_path) as made:
            made.nodes.tokens["good"] = "node-7.example"
            subprocess.run(
                [
                    *("openssl", "req", "-new", "-nodes", "-newkey", "ec"),
                    *("-pkeyopt", "ec_paramgen_curve:P-256", "-subj", "/CN=node-9"),
                    *("-addext", "subjectAltName=URI:spiffe://recorder/node/node-9"),
                    *("-keyout", tmp_path / "k", "-out", tmp_path / "r"),
                ],
                check=True,
                capture_output=True,
            )
            async with made.stub("good") as stub:
                return await stub.Enroll(pb.EnrollRequest(certificate_request=(tmp_path / "r").read_text()))

    answer = asyncio.run(run())
    assert answer.node == "node-7.example"
    said = names(answer.certificate)
    assert "URI:spiffe://recorder/node/node-7.example" in said
    assert "node-9" not in said
    assert "TLS Web Client Authentication" in said
    assert "Server" not in said
    assert answer.ends - answer.now == pytest.approx(86_400, abs=2)


def test_each_refusal_is_counted_with_its_reason(tmp_path):
    """Nobody gets a certificate for a wrong token, request or address, nor while the platform is away."""

    async def run():
        clock = Clock()
        turnstile = Turnstile(0.001, 30, clock=clock)
        said = {}
        async with office(tmp_path, turnstile=turnstile) as made:
            made.nodes.tokens["good"] = "node-a"
            made.nodes.refuses |= {each.value: each for each in Refusal}
            for each in Refusal:
                async with made.stub(each.value) as stub:
                    said[each.value] = await failure(stub.Enroll(request()))
            async with made.stub() as stub:
                said["none"] = await failure(stub.Enroll(request()))
            async with made.stub("good") as stub:
                said["request"] = await failure(stub.Enroll(pb.EnrollRequest(certificate_request="noise")))
                said["large"] = await failure(
                    stub.Enroll(pb.EnrollRequest(certificate_request="x" * (20 << 10)))
                )
                made.nodes.away = True
                said["unreachable"] = await failure(stub.Enroll(request()))
                made.nodes.away = False
                for _ in range(40):
                    code, _ = await failure(stub.Enroll(pb.EnrollRequest(certificate_request="noise")))
                said["rate"] = code, ""
            return said, dict(made.figures.enrolments), made.server.calls.refused_requests

    said, counted, large = asyncio.run(run())
    denied, exhausted = grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.RESOURCE_EXHAUSTED
    assert {said[each.value][0] for each in Refusal} == {denied}
    assert said["none"][0] is denied
    assert said["request"][0] is grpc.StatusCode.INVALID_ARGUMENT
    assert said["unreachable"][0] is grpc.StatusCode.UNAVAILABLE
    assert said["large"][0] is said["rate"][0] is exhausted
    assert large == 1
    asked = 30 - len(Refusal) - 3  # of the burst those are left
    assert counted == {
        **{each.value: 1 for each in Refusal},
        "token": 2,
        "unreachable": 1,
        "request": 1 + asked,
        "rate": 40 - asked,
    }
    assert "signed" not in counted


def test_the_port_has_nothing_else(tmp_path):
    """Without a certificate there is health and Enroll: no other service, and no reflection."""

    async def run():
        codes = []
        async with office(tmp_path) as made:
            credentials = grpc.ssl_channel_credentials(made.ca.read_bytes())
            async with grpc.aio.secure_channel(made.address, credentials) as channel:
                for method in (
                    "/recorder.rpc.v1.Collector/Connect",
                    "/recorder.rpc.v1.Collector/GetRecords",
                    "/recorder.rpc.v1.Collector/WatchRecords",
                    "/recorder.rpc.v1.Agent/GetStatus",
                    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
                ):
                    codes.append((await failure(channel.unary_unary(method)(b"")))[0])
            async with grpc.aio.insecure_channel(made.address) as channel:
                method = channel.unary_unary("/recorder.rpc.v1.Enrolment/Enroll")
                codes.append((await failure(method(b"", timeout=2)))[0])
        return codes

    *codes, plain = asyncio.run(run())
    assert set(codes) == {grpc.StatusCode.UNIMPLEMENTED}
    assert plain in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


def test_an_agent_waits_for_what_is_not_there_yet(tmp_path):
    """No CA, no token, a wrong one, a platform that is away: it says what is missing, and goes on."""

    async def run():
        problems = []
        async with office(tmp_path) as made:
            made.nodes.tokens["good"] = "node-a"
            made.nodes.away = True
            ca, token = tmp_path / "published", tmp_path / "token"
            agent = made.agent(token, ca=ca)

            async def next_problem(part):
                await until(lambda: part in agent.problem)
                problems.append(agent.problem)

            async with running(agent):
                await next_problem(f"{ca} is not there yet")
                ca.write_text("")
                await next_problem("no CA certificate")
                ca.write_bytes(made.ca.read_bytes())
                await next_problem(f"{token}: No such file")
                token.write_text("wrong")
                await next_problem("UNREACHABLE")
                made.nodes.away = False
                await next_problem("ACCESS_DENIED")
                token.write_text("good")
                await enrolled(agent)
                assert agent.problem == ""
                return made.figures.enrolments, agent.attempts

    counted, attempts = asyncio.run(run())
    assert counted["signed"] == 1
    assert counted["token"] >= 1
    assert counted["unreachable"] >= 1
    assert attempts > 4


def test_an_agent_of_another_node(tmp_path):
    """An agent with another name than its pod's node does not take the certificate, and says why."""

    async def run():
        async with office(tmp_path) as made:
            made.nodes.tokens["good"] = "node-b"
            agent = made.agent(made.token("good"))
            async with running(agent):
                await until(lambda: agent.problem)
                return agent.problem, agent.enrolled.is_set()

    problem, enrolled_ = asyncio.run(run())
    assert "'node-b'" in problem
    assert "'node-a'" in problem
    assert not enrolled_


def test_clocks_that_differ(tmp_path):
    """More than minutes apart no certificate would count for long: the agent says by how much."""

    async def run():
        clock = Clock()
        async with office(tmp_path, clock=clock) as made:
            made.nodes.tokens["good"] = "node-a"
            agent = made.agent(made.token("good"), clock=lambda: clock.now + 1000)
            async with running(agent):
                await until(lambda: agent.problem)
                return agent.problem

    assert re.search(r"clock is \+100[01] s", asyncio.run(run()))


def test_a_certificate_is_renewed_at_half_its_time(tmp_path):
    """With a new key and the token as it is then; not before, and at once when the CA's file has changed."""

    async def run():
        clock, slept = Clock(), asyncio.Event()

        async def sleep(seconds):
            slept.set()
            await asyncio.sleep(0.005)

        async with office(tmp_path, clock=clock) as made:
            made.nodes.tokens["first"] = "node-a"
            agent = made.agent(made.token("first"), clock=clock, sleep=sleep)

            async def rounds():
                """Until it has looked once more, and slept again."""
                for _ in range(2):
                    slept.clear()
                    await asyncio.wait_for(slept.wait(), WAIT)

            async with running(agent):
                await enrolled(agent)
                made.nodes.tokens = {"second": "node-a"}
                made.token("second")
                clock.now += 43_000
                await rounds()
                assert made.nodes.asked == ["first"]
                before = agent._identity
                clock.now += 300
                await until(lambda: len(made.nodes.asked) == 2)
                await until(lambda: agent._identity is not before)
                assert agent._identity.key != before.key
                assert agent.ends == pytest.approx(clock.now + 86_400, abs=2)
                made.folder.rotate(clock.now, 1e7)
                await until(lambda: len(made.nodes.asked) == 3)
                await rounds()
                return made.nodes.asked, made.figures.enrolments

    asked, counted = asyncio.run(run())
    assert asked == ["first", "second", "second"]
    assert counted == {"signed": 3}


def test_a_failed_renewal_costs_nothing(tmp_path):
    """While nobody signs, the certificate that there is stays in use."""

    async def run():
        clock = Clock()
        async with office(tmp_path, clock=clock) as made:
            made.nodes.tokens["good"] = "node-a"
            agent = made.agent(made.token("good"), clock=clock, sleep=lambda seconds: asyncio.sleep(0.005))
            async with running(agent):
                await enrolled(agent)
                made.nodes.away = True
                clock.now += 50_000
                await until(lambda: agent.problem)
                assert agent.credentials()
                made.nodes.away = False
                await until(lambda: not agent.problem)
                return agent.ends - clock.now

    assert asyncio.run(run()) == pytest.approx(86_400, abs=2)


def test_many_at_once_from_one_address(tmp_path):
    """A flood from one address is refused, counted, and does not make the platform be asked more often."""

    async def run():
        clock = Clock()
        async with office(tmp_path, turnstile=Turnstile(1, 20, clock=clock)) as made:
            async with made.stub("wrong") as stub:
                calls = [asyncio.ensure_future(failure(stub.Enroll(request()))) for _ in range(300)]
                codes = [code for code, _ in await asyncio.gather(*calls)]
            return codes, len(made.nodes.asked), made.figures.enrolments

    codes, asked, counted = asyncio.run(run())
    assert asked == 20
    assert counted["token"] == codes.count(grpc.StatusCode.PERMISSION_DENIED) == 20
    assert counted["rate"] > 200  # gRPC itself may refuse streams beyond a connection's bound
    assert set(counted) == {"token", "rate"}


def test_a_server_of_another_ca(tmp_path):
    """The token is sent to nobody whose certificate the CA did not sign."""

    async def run():
        async with office(tmp_path / "a") as made, office(tmp_path / "b") as other:
            made.nodes.tokens["good"] = "node-a"
            token = tmp_path / "token"
            token.write_text("good")
            agent = Enrolment(made.address, token, other.ca, "node-a", pace=QUICK)
            async with running(agent):
                await until(lambda: agent.problem)
            return agent.problem, made.nodes.asked

    problem, asked = asyncio.run(run())
    assert "UNTRUSTED" in problem
    assert asked == []
