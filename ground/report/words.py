"""The words of the report in English and Spanish; times and numbers are the same in both."""

from typing import Literal

Language = Literal["en", "es"]

_WORDS: dict[str, tuple[str, str]] = {
    "title": ("Mission report", "Informe de misión"),
    "exercise": ("EXERCISE: nothing in here is real", "EJERCICIO: nada de esto es real"),
    "unreviewed_notice": (
        "UNREVIEWED: not everything in here has been confirmed by a person",
        "SIN REVISAR: no todo lo que figura aquí ha sido confirmado por una persona",
    ),
    "confirmed_notice": (
        "Everything shown here has been confirmed by a person",
        "Todo lo que se muestra aquí ha sido confirmado por una persona",
    ),
    "from": ("From", "Desde"),
    "to": ("to", "hasta"),
    "made": ("Made", "Elaborado"),
    "utc": ("All times UTC, positions WGS 84", "Horas UTC, posiciones WGS 84"),
    "contacts": ("Contacts", "Contactos"),
    "plots": ("Plots", "Parcelas"),
    "platforms": ("Platforms", "Plataformas"),
    "looks": ("Looks", "Avistamientos"),
    "alerts": ("Alerts", "Alertas"),
    "confirmed": ("confirmed", "confirmado"),
    "unreviewed": ("unreviewed", "sin revisar"),
    "rejected": ("rejected", "rechazado"),
    "more": ("asked for more", "se pidió más"),
    "map": ("Map", "Mapa"),
    "map_text": (
        "Ellipses hold the true place in 90 % of cases and are drawn to scale; numbers are those of the "
        "list below. Lines are where platforms were when they saw something.",
        "Las elipses contienen el lugar verdadero en el 90 % de los casos y están a escala; los números "
        "son los de la lista. Las líneas muestran dónde estaban las plataformas cuando vieron algo.",
    ),
    "no_place": (
        "Nothing in this span has a place to draw.",
        "Nada de este periodo tiene un lugar que dibujar.",
    ),
    "timeline": ("Course of events", "Cronología"),
    "seen": ("seen", "visto"),
    "decided": ("decided", "decidido"),
    "alert": ("alert", "alerta"),
    "when": ("When", "Cuándo"),
    "where": ("Where", "Dónde"),
    "what": ("What", "Qué"),
    "how_sure": ("How sure", "Precisión"),
    "moves": ("Moves", "Movimiento"),
    "no_motion": (
        "no motion beyond doubt",
        "sin movimiento fuera de duda",
    ),
    "by": ("by", "por"),
    "score": ("score", "puntuación"),
    "model": ("model", "modelo"),
    "decision": ("Decision", "Decisión"),
    "nobody": ("nobody has decided", "nadie ha decidido"),
    "ais": ("AIS", "AIS"),
    "matched": ("on AIS", "en AIS"),
    "silent": ("silent", "en silencio"),
    "doubtful": ("doubtful", "dudoso"),
    "unheard": ("could not be heard", "no se podía oír"),
    "undecided": ("not decidable", "no decidible"),
    "no_ais": ("not looked for", "no se buscó"),
    "no_picture": ("no picture", "sin imagen"),
    "no_position": ("no position", "sin posición"),
    "bearing": ("bearing", "demora"),
    "half_axes": ("90 % half axes", "semiejes 90 %"),
    "area": ("Area", "Superficie"),
    "interval": ("90 % interval", "intervalo 90 %"),
    "in_part": ("seen in part only", "vista solo en parte"),
    "slope": ("Slope", "Pendiente"),
    "sortie": ("Sortie", "Vuelo"),
    "on_task": ("First and last look", "Primer y último avistamiento"),
    "coverage": ("Where was looked", "Dónde se miró"),
    "coverage_kept": (
        "The shaded areas are the ground that cameras had in view, {count} footprints of this "
        "span. Where nothing "
        "is shaded, nobody looked.",
        "Las zonas sombreadas son el terreno que las cámaras tuvieron a la vista, {count} huellas "
        "de este periodo. "
        "Donde no hay sombra, nadie miró.",
    ),
    "coverage_none": (
        "The station keeps no footprints of this span: the map shows where platforms were when "
        "they saw something. "
        "An empty area of the map does not mean that nothing is there.",
        "La estación no conserva huellas de este periodo: el mapa muestra dónde estaban las "
        "plataformas cuando "
        "vieron algo. Una zona vacía del mapa no significa que allí no haya nada.",
    ),
    "open": ("Open questions", "Cuestiones abiertas"),
    "open_unreviewed": (
        "{count} contacts of this span have not been reviewed by anybody{shown}.",
        "{count} contactos de este periodo no han sido revisados por nadie{shown}.",
    ),
    "not_shown": (" and are not shown", " y no se muestran"),
    "open_more": (
        "{count} contacts wait for more: somebody asked for another look.",
        "{count} contactos esperan más: alguien pidió otra observación.",
    ),
    "open_alerts": (
        "{count} alerts about what is shown have not been acknowledged.",
        "{count} alertas sobre lo que se muestra no han sido atendidas.",
    ),
    "open_place": (
        "{count} of the contacts shown have a bearing and no position.",
        "{count} de los contactos mostrados tienen demora pero no posición.",
    ),
    "open_ais": (
        "For {count} of the contacts shown AIS decides nothing (could not be heard, several fit, too vague).",
        "Para {count} de los contactos mostrados el AIS no decide nada (no se podía oír, varios encajan, "
        "muy vago).",
    ),
    "open_plots": (
        "{count} plots have been seen in part only: their areas are of that part.",
        "{count} parcelas se han visto solo en parte: su superficie es la de esa parte.",
    ),
    "open_none": ("None that the station knows of.", "Ninguna que la estación conozca."),
    "refused": ("What is not in here", "Lo que no figura aquí"),
    "refused_rejected": (
        "{count} contacts were rejected by people and are not shown.",
        "{count} contactos fueron rechazados por personas y no se muestran.",
    ),
    "refused_quarantine": (
        "{count} records lie in quarantine at the station (all times): not signed as enrolled, damaged or "
        "twice.",
        "{count} registros están en cuarentena en la estación (de siempre): sin firma válida, dañados o "
        "repetidos.",
    ),
    "refused_room": (
        "{count} more contacts found no room in this report; choose a shorter span.",
        "{count} contactos más no cupieron en este informe; elija un periodo más corto.",
    ),
    "refused_looks": (
        "More looks than could be read: the platforms' lines begin late.",
        "Más avistamientos de los que se pudieron leer: las líneas de las plataformas empiezan tarde.",
    ),
    "how_to_read": ("How to read this", "Cómo leer este informe"),
    "reading": (
        "The software finds and measures, people decide. A score is the detector's own, not a "
        "probability of guilt. "
        "An AIS verdict says what our receiver heard, never why. Nobody's intent is judged here.",
        "El programa encuentra y mide; las personas deciden. Una puntuación es la del detector, no "
        "una probabilidad "
        "de culpa. Un veredicto AIS dice lo que oyó nuestro receptor, nunca por qué. Aquí no se juzga la "
        "intención de nadie.",
    ),
    "hash": (
        "SHA-256 of this file with these 64 characters replaced by zeros",
        "SHA-256 de este archivo con estos 64 caracteres sustituidos por ceros",
    ),
    "comments": ("Comments", "Comentarios"),
    "took_back": ("taken back", "retirado"),
    "in_bulk": ("in bulk", "en bloque"),
    "not_acknowledged": ("not acknowledged", "sin atender"),
    "acknowledged_by": ("acknowledged by", "atendida por"),
    "nothing": ("Nothing in this span.", "Nada en este periodo."),
    "north": ("N", "N"),
}


class Words:
    """The words of one language: `words("map")`, `words("open_more", count=3)`."""

    def __init__(self, language: Language) -> None:
        self.language: Language = language
        self._index = 0 if language == "en" else 1

    def __call__(self, word: str, **values: object) -> str:
        """A word or sentence, with its numbers."""
        text = _WORDS[word][self._index]
        return text.format(**values) if values else text
