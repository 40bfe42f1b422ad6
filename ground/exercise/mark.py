"""The mark of an exercise: what every writer of the station puts on what it makes. One place decides."""

from dataclasses import dataclass

from skywarden.messages import Message, Plot, Sighting

WORD = "EXERCISE"
NOTICE = "EXERCISE: nothing in here is real"
HEADER = "x-skywarden-exercise"
HEADER_VALUE = "EXERCISE"


@dataclass(frozen=True, slots=True)
class Mark:
    """Handed to whoever writes something that leaves the station; of a real station it changes nothing."""

    is_exercise: bool = False

    @property
    def prefix(self) -> str:
        """Begins callsigns, texts and titles: "EXERCISE " or nothing."""
        return f"{WORD} " if self.is_exercise else ""

    def notice(self, text: str) -> str:
        """What stands on the face of a file."""
        if not self.is_exercise or text.startswith(WORD):
            return text
        return f"{NOTICE}. {text}" if text else NOTICE

    def title(self, text: str) -> str:
        """A title or a sentence that may be shown alone."""
        return f"{WORD}: {text}" if self.is_exercise and not text.startswith(WORD) else text

    def file_name(self, name: str) -> str:
        """The name of a file that is handed out."""
        return f"{WORD}-{name}" if self.is_exercise and not name.startswith(WORD) else name

    def stranger(self, message: Message | None) -> str | None:
        """Why a message has no place in this station's store: an exercise takes in nothing that is real.

        A real station does take in what says EXERCISE of itself, and shows it so: an aircraft in training.
        """
        if self.is_exercise and isinstance(message, Sighting | Plot) and not message.is_exercise:
            return (
                f"what {message.platform_id} sends does not say EXERCISE, and this station is an exercise; "
                "set is_exercise = true aboard, or send it to the real station"
            )
        return None


REAL = Mark(False)
EXERCISE = Mark(True)


def mark_of_station(*, is_exercise: bool) -> Mark:
    """The mark of a station or of a store."""
    return EXERCISE if is_exercise else REAL
