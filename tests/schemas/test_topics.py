"""Each record lies where the wire table says, with one writer a topic, kept as long as promised."""

from collections.abc import Mapping

import pytest

from schemas import topics


def test_topics_have_the_names_of_the_wire_table() -> None:
    assert (topics.MEMBERS, topics.PLANS, topics.LEAD) == ("wardround.members", "wardround.plans", "wardround.lead")
    assert topics.REGISTRAR_BODIES == topics.bodies("registrar") == "wardround.bodies.registrar"
    assert topics.offers("aachen") == "wardround.offers.aachen"
    assert topics.bodies("aachen") == "wardround.bodies.aachen"
    of_study = [topics.rounds, topics.receipts, topics.models, topics.keys, topics.commands, topics.bookmark]
    assert [topic("lung") for topic in of_study] == [
        f"wardround.study.lung.{name}" for name in ("rounds", "receipts", "models", "keys", "commands", "bookmark")
    ]
    assert topics.trustee("lung", "t1") == "wardround.study.lung.trustee.t1"
    assert topics.trustee_bodies("lung", "t1") == "wardround.study.lung.trustee-bodies.t1"


def test_decisions_are_kept_for_ever_and_flushed_one_by_one() -> None:
    settings = topics.study_topics("lung")
    rounds, receipts = settings[topics.rounds("lung")], settings[topics.receipts("lung")]
    assert rounds == {
        "cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1", "flush.messages": "1",
        "compression.type": "producer",
    }  # fmt: skip
    assert receipts == {"cleanup.policy": "compact", "flush.messages": "1", "compression.type": "producer"}


def _every() -> dict[str, Mapping[str, str]]:
    return {
        **topics.federation_topics(),
        **topics.study_topics("lung"),
        **topics.site_topics("aachen", size_cap_bytes=5),
    }


def test_whatever_is_small_and_everything_depends_on_is_on_the_disk_before_it_is_acknowledged() -> None:
    every = {**topics.federation_topics(), **topics.study_topics("lung")}
    flushed = {name for name, config in every.items() if config.get("flush.messages") == "1"}
    rest = {topics.REGISTRAR_BODIES, topics.LEAD, topics.models("lung"), topics.bookmark("lung")}
    assert flushed == set(every) - rest


def test_every_topic_has_the_prefix_by_which_a_federations_are_found() -> None:
    assert all(name.startswith(topics.PREFIX) for name in _every())


def test_no_broker_compresses_what_was_sent_plain() -> None:
    assert {name: config.get("compression.type") for name, config in _every().items()} == dict.fromkeys(
        _every(), "producer"
    )


def test_what_is_known_by_its_newest_value_is_compacted_and_the_rest_is_not() -> None:
    compacted = {name for name, config in _every().items() if config.get("cleanup.policy") == "compact"}
    assert compacted == {
        topics.MEMBERS,
        topics.PLANS,
        topics.CERTIFICATES,
        topics.keys("lung"),
        topics.receipts("lung"),
        topics.bookmark("lung"),
    }


def test_a_model_is_never_aged_out_by_the_broker_for_the_coordinator_trims_it() -> None:
    models = topics.study_topics("lung")[topics.models("lung")]
    assert (models["retention.ms"], models["retention.bytes"]) == ("-1", "-1")


def test_what_a_site_sends_stays_30_days_and_its_bodies_under_a_cap() -> None:
    settings = topics.site_topics("aachen", size_cap_bytes=10**9)
    month_ms = str(30 * 24 * 3600 * 1000)
    assert {config["retention.ms"] for config in settings.values()} == {month_ms}
    assert settings[topics.bodies("aachen")]["retention.bytes"] == "1000000000"
    assert set(settings) == {topics.offers("aachen"), topics.bodies("aachen")}


@pytest.mark.parametrize(("cap", "offers"), [(10**9, 2**30), (2**40, 2**36), (-1, 2**30)])
def test_a_sites_offers_stay_under_a_cap_as_well(cap: int, offers: int) -> None:
    settings = topics.site_topics("aachen", size_cap_bytes=cap)[topics.offers("aachen")]
    assert int(settings["retention.bytes"]) == offers
    assert int(settings["segment.bytes"]) < offers // 8
