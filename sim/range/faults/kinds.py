"""Every kind of fault that can be ordered, and what is expected of the chain when it comes."""

from ground.picture.silence import SILENT_S
from sim.range.faults import clocks, packets, pictures, pointing, position
from sim.range.faults.kind import Expected, Kind, Number, Switch, Word
from sim.range.faults.spell import Spell

_METRES = {"low": -20_000.0, "high": 20_000.0}
_MPS = {"low": -100.0, "high": 100.0}
STALLED_S = 3.0
"""`stall_after_s` of a camera's watch as it comes."""
DRIFT_STEP_M, DRIFT_RATE_MPS = 6.0, 0.6
"""Tolerance of the residual of position against velocity (`edge.integrity.motion.MotionLimits`)."""
AIS_SILENT_S = 120.0
"""Twenty intervals of a receiver that hears a few vessels, and some to spare (`ground.ais.silence`)."""
STALE = ("telemetry_stale", "no_telemetry")


def _expect(*words: str, within: float, to: str, back: float | None, also: tuple[str, ...] = ()) -> Expected:
    return Expected(reported_as=words, within_s=within, degraded_to=to, recovered_s=back, also=also)


def _silent(degraded_to: str, *also: str) -> Expected:
    return Expected(degraded_to=degraded_to, also=also)


def _expect_jump(spell: Spell) -> Expected:
    size_m = max(abs(spell.numbers["north_m"]), abs(spell.numbers["east_m"]))
    if size_m < 2.0 * DRIFT_STEP_M:
        return _silent("places that stand aside by so much: the check lets 6 m pass", "gnss_glitch")
    return _expect(
        "gnss_glitch",
        within=2.0,
        to="bearings without places",
        back=6.0,
        also=("gnss_drift", "gnss_disagree", "telemetry_stale"),
    )


def _expect_drift(spell: Spell) -> Expected:
    rate = position.led_away_mps(spell)
    if spell.numbers["with_velocity"]:
        return _silent(
            "places that are led away: only accelerometers could tell, where they are sent", *_GNSS
        )
    if rate < DRIFT_RATE_MPS + 0.4:
        return _silent("places that are led away slower than the check can tell from noise", *_GNSS)
    within = DRIFT_STEP_M / (rate - DRIFT_RATE_MPS) + 5.0
    return _expect(
        "gnss_drift", "gnss_glitch", within=within, to="bearings without places", back=None, also=_GNSS
    )


def _expect_datum(spell: Spell) -> Expected:
    if abs(position.datum_offset_m(spell)) < (12.0 if spell.words["whose"] == "autopilot" else 4.0):
        return _silent("places that stand off by the height: too little to tell", "datum_alarm")
    if spell.words["whose"] == "autopilot":  # what comes on in flight is a jump of the height first
        words = ("datum_alarm", "gnss_glitch")
        return _expect(*words, within=4.0, to="bearings without places", back=6.0, also=_GNSS)
    return _expect("datum_alarm", within=4.0, to="bearings without places", back=4.0)


def _expect_flags(spell: Spell) -> Expected:
    if spell.words["claims"] == "other":
        return _silent("places turned about the aircraft: what is claimed fits in itself")
    return _expect("no_gimbal", "gimbal_stale", "no_attitude", within=2.0, to="bearings", back=2.0)


def _expect_utc(spell: Spell) -> Expected:
    size_s = abs(spell.numbers["jump_s"])
    if size_s < 1.2:
        return _silent("places as before: within what a clock may be off")
    return _expect("clock_off", "gnss_time", within=4.0, to="wider ellipses", back=6.0, also=("gnss_time",))


def _expect_skew(spell: Spell) -> Expected:
    within = 1.5 / max(abs(spell.numbers["rate"]), 1e-6) + 3.0
    lasts_s = (spell.span.end_ns - spell.span.start_ns) / 1e9
    if within > lasts_s:
        return _silent("places as before: under a second in all", "clock_off", "gnss_time")
    return _expect("clock_off", "gnss_time", within=within, to="wider ellipses", back=6.0, also=_CLOCK)


def _expect_boot(spell: Spell) -> Expected:
    if abs(spell.numbers["jump_s"]) < 6.0:
        return _silent("places as before: the clock line follows", *_CLOCK, *_GNSS, *STALE)
    return _expect("gnss_time", within=4.0, to="wider ellipses", back=None, also=(*_GNSS, *_CLOCK, *STALE))


def _expect_dropped(spell: Spell) -> Expected:
    if spell.numbers["share"] < 0.999:
        return _silent("fewer looks at each thing", "stalled")
    return _expect("stalled", within=STALLED_S + 1.5, to="no looks", back=2.0)


def _expect_late(spell: Spell) -> Expected:
    if spell.numbers["delay_s"] < STALLED_S + 0.5:
        return _silent("places as wrong as the aircraft is fast: one camera alone cannot tell", *STALE)
    return _expect("stalled", within=STALLED_S + 1.5, to="late places, taken for now", back=2.0, also=STALE)


def _lasts_s(spell: Spell) -> float:
    return (spell.span.end_ns - spell.span.start_ns) / 1e9


def _expect_ais_silence(spell: Spell) -> Expected:
    left = "verdicts that say undecided or unheard, never silent, of who does send"
    if _lasts_s(spell) < AIS_SILENT_S:
        return _silent(f"{left}; so short a silence is usual", "ais_silent")
    return _expect("ais_silent", within=AIS_SILENT_S, to=left, back=30.0)


def _expect_link_loss(spell: Spell) -> Expected:
    if spell.numbers["share"] < 0.999 or _lasts_s(spell) < SILENT_S + 3.0:
        return _silent("late sightings, none lost", "platform_silent")
    return _expect("platform_silent", within=SILENT_S + 3.0, to="late sightings, none lost", back=5.0)


_GNSS = ("gnss_glitch", "gnss_drift", "gnss_disagree", "gnss_frozen", "telemetry_stale")
_CLOCK = ("clock_off", "gnss_time")

_ALL = (
    Kind(
        name="gnss_loss",
        about="The receivers lose their satellites; the autopilot goes on by itself.",
        where="position",
        make=position.loss,
        expect=lambda _: _expect("no_fix", within=2.0, to="bearings without places", back=3.0),
    ),
    Kind(
        name="gnss_frozen",
        about="Every position repeats the first one, to the last digit.",
        where="position",
        make=position.frozen,
        expect=lambda _: _expect(
            "gnss_frozen", within=4.0, to="bearings without places", back=8.0, also=_GNSS
        ),
    ),
    Kind(
        name="gnss_jump",
        about="All positions stand aside, as after multipath or a crude spoofer.",
        where="position",
        parameters={
            "north_m": Number(default=0.0, about="so far north, metres", **_METRES),
            "east_m": Number(default=150.0, about="so far east, metres", **_METRES),
        },
        make=position.jump,
        expect=_expect_jump,
    ),
    Kind(
        name="gnss_drift",
        about="A spoofer leads all positions away, slowly.",
        where="position",
        parameters={
            "north_mps": Number(default=0.0, about="northward, metres each second", **_MPS),
            "east_mps": Number(default=3.0, about="eastward, metres each second", **_MPS),
            "with_velocity": Switch(default=False, about="the velocities that are told go along"),
        },
        make=position.drift,
        expect=_expect_drift,
    ),
    Kind(
        name="wrong_datum",
        about="Heights count from another zero than they claim.",
        where="position",
        parameters={
            "whose": Word(
                default="receiver",
                choices=("receiver", "autopilot"),
                about="the receiver's ellipsoid height is off, or the autopilot sends that height as MSL",
            ),
            "offset_m": Number(
                default=40.0, low=-500.0, high=500.0, about="of the receiver's height, metres"
            ),
        },
        make=position.wrong_datum,
        expect=_expect_datum,
    ),
    Kind(
        name="compass_error",
        about="Headings are off: the aircraft's, and of a gimbal what it knows from there.",
        where="pointing",
        parameters={"off_deg": Number(default=15.0, low=-180.0, high=180.0, about="degrees clockwise")},
        make=pointing.compass,
        expect=lambda _: _silent("places turned about the aircraft: nothing aboard contradicts a compass"),
    ),
    Kind(
        name="gimbal_stuck",
        about="The gimbal goes on saying what it said first, with fresh times.",
        where="pointing",
        make=pointing.stuck,
        expect=lambda _: _silent("places where the gimbal looked before: no message contradicts it"),
    ),
    Kind(
        name="gimbal_lag",
        about="The gimbal says where it pointed a while ago.",
        where="pointing",
        parameters={"delay_s": Number(default=0.4, low=0.01, high=10.0, about="seconds")},
        make=pointing.lagging,
        expect=lambda _: _silent("places as wrong as the gimbal is fast: no message contradicts it"),
    ),
    Kind(
        name="gimbal_flags",
        about="The gimbal's flags claim the other frame for its yaw, or both at once.",
        where="pointing",
        parameters={
            "claims": Word(default="both", choices=("both", "other"), about="both frames, or the other one")
        },
        make=pointing.flags,
        expect=_expect_flags,
    ),
    Kind(
        name="gimbal_silent",
        about="The gimbal says nothing.",
        where="pointing",
        make=pointing.Silent,
        expect=lambda _: _expect("gimbal_stale", "no_gimbal", within=3.0, to="bearings", back=2.0),
    ),
    Kind(
        name="clock_jump",
        about="The UTC that the autopilot tells is off.",
        where="clock",
        parameters={"jump_s": Number(default=30.0, low=-250.0, high=250.0, about="seconds ahead")},
        make=clocks.utc_jump,
        expect=_expect_utc,
    ),
    Kind(
        name="clock_skew",
        about="The UTC that the autopilot tells runs away.",
        where="clock",
        parameters={"rate": Number(default=0.2, low=-1.0, high=1.0, about="seconds ahead for each second")},
        make=clocks.utc_skew,
        expect=_expect_skew,
    ),
    Kind(
        name="boot_clock_jump",
        about="The autopilot's count since its start leaps.",
        where="clock",
        parameters={"jump_s": Number(default=20.0, low=-50.0, high=600.0, about="seconds ahead")},
        make=clocks.boot_jump,
        expect=_expect_boot,
    ),
    Kind(
        name="frames_dropped",
        about="Frames get lost on their way from the camera.",
        where="picture",
        parameters={"share": Number(default=1.0, low=0.01, high=1.0, about="of all frames")},
        make=pictures.dropped,
        expect=_expect_dropped,
    ),
    Kind(
        name="frames_frozen",
        about="Every picture is the same one again; time goes on.",
        where="picture",
        make=pictures.frozen,
        expect=lambda _: _expect(
            "frozen", within=7.0, to="no looks", back=4.0, also=("frozen_suspected", "repeated")
        ),
    ),
    Kind(
        name="frames_black",
        about="The pictures are black.",
        where="picture",
        make=pictures.black,
        expect=lambda _: _expect(
            "black", within=2.5, to="no looks", back=2.0, also=("frozen_suspected", "repeated", "frozen")
        ),
    ),
    Kind(
        name="frames_corrupt",
        about="Picture files are damaged so that nothing decodes them.",
        where="picture",
        parameters={"share": Number(default=1.0, low=0.01, high=1.0, about="of all frames")},
        make=pictures.corrupt,
        expect=_expect_dropped,
    ),
    Kind(
        name="frames_late",
        about="Frames arrive, and are stamped, later than they were taken.",
        where="picture",
        parameters={"delay_s": Number(default=5.0, low=0.01, high=60.0, about="seconds")},
        make=pictures.Late,
        expect=_expect_late,
    ),
    Kind(
        name="resolution_change",
        about="The camera goes over to another resolution than the one it was calibrated for.",
        where="picture",
        parameters={"share": Number(default=0.5, low=0.1, high=0.95, about="of width and of height")},
        make=pictures.resized,
        expect=lambda _: _expect("resolution_changed", within=1.5, to="places by a scaled lens", back=1.5),
    ),
    Kind(
        name="overheating",
        about="A computer that is too hot gets to one frame in so many.",
        where="picture",
        parameters={"one_in": Number(default=4.0, low=2.0, high=100.0, about="frames")},
        make=pictures.skipped,
        expect=lambda _: _expect("throttled", within=3.0, to="fewer looks", back=5.0, also=("stalled",)),
        elsewhere="skywarden sim faults S23",
    ),
    Kind(
        name="telemetry_loss",
        about="No MAVLink is heard.",
        where="packets",
        make=packets.telemetry_loss,
        expect=lambda _: _expect(*STALE, within=7.0, to="bearings without places", back=5.0, also=_GNSS),
    ),
    Kind(
        name="mavlink_garbage",
        about="Noise full of start bytes stands between the MAVLink frames.",
        where="packets",
        parameters={"share": Number(default=0.5, low=0.01, high=1.0, about="of frames with noise before")},
        make=packets.Garbage,
        expect=lambda _: _silent("places as before: nothing intact is lost"),
        elsewhere="skywarden sim faults S10",
    ),
    Kind(
        name="mavlink_stranger",
        about="A second autopilot is heard on the link.",
        where="packets",
        make=packets.Stranger,
        expect=lambda _: _silent(
            "places as before: the autopilot that was chosen stays", "several_autopilots"
        ),
        elsewhere="skywarden sim faults S10",
    ),
    Kind(
        name="mavlink_impostor",
        about="Beside each position stands a forged one of the same aircraft; the link is not signed.",
        where="packets",
        parameters={"away_m": Number(default=400.0, low=1.0, high=20_000.0, about="metres north")},
        make=packets.Impostor,
        expect=lambda _: _expect(
            "gnss_glitch", "gnss_disagree", within=3.0, to="true places or bearings", back=8.0, also=_GNSS
        ),
        elsewhere="skywarden sim faults S10",
    ),
    Kind(
        name="ais_silence",
        about="The station's receiver hears no AIS.",
        where="ais",
        make=packets.ais_silence,
        expect=_expect_ais_silence,
    ),
    Kind(
        name="link_loss",
        about="Packets between edge and ground are lost: all of them, or a share.",
        where="link",
        parameters={"share": Number(default=1.0, low=0.0, high=1.0, about="of packets")},
        expect=_expect_link_loss,
        elsewhere="skywarden sim faults S4, S5",
    ),
    Kind(
        name="link_delay",
        about="Packets take longer.",
        where="link",
        parameters={"delay_s": Number(default=3.0, low=0.0, high=600.0, about="seconds each way")},
        expect=lambda _: _silent("late sightings, none lost", "platform_silent"),
        elsewhere="skywarden sim faults S5",
    ),
    Kind(
        name="link_duplication",
        about="Packets arrive twice.",
        where="link",
        parameters={"share": Number(default=0.5, low=0.0, high=1.0, about="of packets")},
        expect=lambda _: _silent("each sighting counts once"),
        elsewhere="skywarden sim faults S7",
    ),
    Kind(
        name="link_reordering",
        about="Packets overtake each other.",
        where="link",
        parameters={"spread_s": Number(default=2.0, low=0.0, high=60.0, about="seconds at most")},
        expect=lambda _: _silent("sightings out of order, none lost", "platform_silent"),
        elsewhere="skywarden sim faults S5",
    ),
    Kind(
        name="link_rate",
        about="The link carries only so much.",
        where="link",
        parameters={
            "bytes_per_s": Number(default=1_200.0, low=20.0, high=1e8, about="bytes a second, all told")
        },
        expect=lambda _: _silent("late sightings, none lost", "platform_silent"),
        elsewhere="skywarden sim faults S5",
    ),
)
_PROCESSES = (
    ("process_crash", "A process aboard or on the ground is killed.", "S1, S1b, S2"),
    ("disk_full", "A disk aboard or on the ground is full.", "S3"),
    ("revoked_key", "A platform's key is revoked while it flies.", "S8"),
)
KINDS: dict[str, Kind] = {kind.name: kind for kind in _ALL} | {
    name: Kind(name=name, about=about, where="process", elsewhere=f"skywarden sim faults {command}")
    for name, about, command in _PROCESSES
}
"""By name. Those of processes cannot be ordered in a run: no process, disk or key takes part in it."""

RANDOM = "random"
