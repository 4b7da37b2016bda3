"""Reviews: asked once for many, kept for seconds, bounded, and nothing allowed that was not."""

import asyncio

import pytest

from recorder.collector.figures import ServiceFigures
from recorder.collector.people.authority import Person
from recorder.collector.people.reviews import ROOT, Reviews, Viewer
from recorder.model.errors import AccessDenied, LimitReached, PlatformUnreachable, Unreachable
from recorder.rpc.bearer import token_of

ANN = Person("ann", "uid-ann")


class Slow:
    """An authority that answers when the test says."""

    def __init__(self):
        self.go = asyncio.Event()
        self.asked = []
        self.most = self.now = 0
        self.fails = False

    async def _answer(self, *question):
        self.asked.append(question)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await self.go.wait()
        finally:
            self.now -= 1
        if self.fails:
            raise PlatformUnreachable("away")

    async def person(self, token):
        await self._answer("person", token)
        return ANN if token.startswith("good") else None

    async def may_read(self, person, namespace):
        await self._answer("read", person.name, namespace)
        return namespace == "a"

    async def may_scrape(self, person):
        await self._answer("scrape", person.name)
        return True


def with_reviews(work, **settings):
    """Run `work` with reviews, their authority and a clock."""

    async def run():
        authority, time = Slow(), [100.0]
        reviews = Reviews(authority, ServiceFigures(), clock=lambda: time[0], **settings)
        return await work(reviews, authority, time)

    return asyncio.run(run())


def test_many_who_ask_at_once_share_one_question():
    """Also if the first of them goes away meanwhile."""

    async def work(reviews, authority, time):
        asking = [asyncio.create_task(reviews.viewer("good")) for _ in range(5)]
        await asyncio.sleep(0)
        asking[0].cancel()
        await asyncio.sleep(0)
        authority.go.set()
        assert [each.person for each in await asyncio.gather(*asking[1:])] == [ANN] * 4
        assert authority.asked == [("person", "good")]

    with_reviews(work)


def test_an_answer_holds_for_its_time():
    """Yes and no; then it is asked anew."""

    async def work(reviews, authority, time):
        authority.go.set()
        viewer = await reviews.viewer("good")
        for _ in range(3):
            assert await reviews.may_read(viewer, "a")
            assert not await reviews.may_read(viewer, "b")
        assert len(authority.asked) == 3
        time[0] += 9.9
        assert await reviews.may_read(viewer, "a")
        assert len(authority.asked) == 3
        time[0] += 0.2
        assert await reviews.may_read(viewer, "a")
        assert len(authority.asked) == 4

    with_reviews(work)


def test_a_failure_is_no_answer():
    """It is not kept: the next one asks again."""

    async def work(reviews, authority, time):
        authority.go.set()
        authority.fails = True
        with pytest.raises(Unreachable):
            await reviews.viewer("good")
        authority.fails = False
        assert (await reviews.viewer("good")).person == ANN

    with_reviews(work)


def test_questions_and_answers_are_bounded():
    """So many at a time, so many that wait, so many that are kept."""

    async def work(reviews, authority, time):
        asking = [asyncio.create_task(reviews.viewer(f"good-{number}")) for number in range(6)]
        await asyncio.sleep(0.01)
        with pytest.raises(LimitReached):
            await reviews.viewer("good-one-too-many")
        authority.go.set()
        await asyncio.gather(*asking)
        assert authority.most == 2
        assert len(reviews._answers) == 3
        assert not reviews._asking

    with_reviews(work, at_a_time=2, waiting=6, entries=3)


@pytest.mark.parametrize("token", ["", "x" * (12 << 10) + "x"])
def test_a_token_that_cannot_be_one_is_not_asked_for(token):
    async def work(reviews, authority, time):
        with pytest.raises(AccessDenied):
            await reviews.viewer(token)
        assert authority.asked == []

    with_reviews(work)


def test_root_is_not_asked_for():
    """It may read everything, though nobody can be asked."""

    async def run():
        reviews = Reviews(None, ServiceFigures())
        assert await reviews.may_read(ROOT, "")
        assert await reviews.may_scrape(ROOT)
        assert await reviews.viewer_again(ROOT) is ROOT
        with pytest.raises(AccessDenied, match="no Kubernetes"):
            await reviews.viewer("good")
        assert not await reviews.may_read(Viewer(ANN, "good"), "a")

    asyncio.run(run())


def test_a_token_is_not_shown():
    """Not in a traceback or a log."""
    assert "secret" not in repr(Viewer(ANN, "secret"))


@pytest.mark.parametrize(
    ("metadata", "token"),
    [
        ((("authorization", "Bearer abc"),), "abc"),
        ((("user-agent", "x"), ("authorization", "bearer  abc ")), "abc"),
        ((("authorization", "Basic abc"),), ""),
        ((("authorization", "abc"),), ""),
        ((("authorization", b"Bearer abc"),), ""),
        ((), ""),
        (None, ""),
    ],
)
def test_the_token_of_a_call(metadata, token):
    """RFC 6750: the scheme in any case."""
    assert token_of(metadata) == token
