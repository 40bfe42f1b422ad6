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
        "Ellipses hold the true place in 90 % of cases and are drawn to scale. Numbers are those of the "
        "list below and stand where there is room. Lines are where platforms were when they saw "
        "something, dashes join them.",
        "Las elipses contienen el lugar verdadero en el 90 % de los casos y están a escala. Los números "
        "son los de la lista y figuran donde hay sitio. Las líneas muestran dónde estaban las "
        "plataformas cuando vieron algo; los puntos las unen.",
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
    "seen_by": ("Seen by", "Visto por"),
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
    "coverage_cut": (
        "The shaded areas are the ground that cameras had in view, by the newest {count} footprints of this "
        "span; there were more, so an area that is not shaded may have been looked at before.",
        "Las zonas sombreadas son el terreno que las cámaras tuvieron a la vista, según las {count} huellas "
        "más recientes de este periodo; hubo más, así que una zona sin sombra pudo mirarse antes.",
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
        "Contacts that nobody has reviewed{shown}: {count}.",
        "Contactos que nadie ha revisado{shown}: {count}.",
    ),
    "not_shown": (
        " (not shown here)",
        " (no se muestran aquí)",
    ),
    "open_more": (
        "Contacts of which somebody asked for another look: {count}.",
        "Contactos de los que alguien pidió otra observación: {count}.",
    ),
    "open_alerts": (
        "Alerts about what is shown that nobody has acknowledged: {count}.",
        "Alertas sobre lo que se muestra sin atender: {count}.",
    ),
    "open_place": (
        "Contacts shown that have no position: {count}.",
        "Contactos mostrados sin posición: {count}.",
    ),
    "open_ais": (
        "Contacts about which AIS decides nothing (could not be heard, several fit, too vague): {count}.",
        "Contactos de los que el AIS no decide nada (no se podía oír, varios encajan, muy vago): {count}.",
    ),
    "open_plots": (
        "Plots seen in part only, whose areas are of that part: {count}.",
        "Parcelas vistas solo en parte, con la superficie de esa parte: {count}.",
    ),
    "open_none": ("None that the station knows of.", "Ninguna que la estación conozca."),
    "refused": ("What is not in here", "Lo que no figura aquí"),
    "refused_rejected": (
        "Contacts that people rejected, not shown: {count}.",
        "Contactos rechazados por personas, no se muestran: {count}.",
    ),
    "refused_quarantine": (
        "Records in quarantine at the station, of all times (not signed as enrolled, damaged or "
        "twice): {count}.",
        "Registros en cuarentena en la estación, de siempre (sin firma válida, dañados o "
        "repetidos): {count}.",
    ),
    "refused_room": (
        "Contacts that found no room in this report (choose a shorter span): {count}.",
        "Contactos que no cupieron en este informe (elija un periodo más corto): {count}.",
    ),
    "refused_looks": (
        "More looks than could be read: the platforms' lines begin late.",
        "Más avistamientos de los que se pudieron leer: las líneas de las plataformas empiezan tarde.",
    ),
    "refused_ais": (
        "Contacts that AIS was not asked about, because that would have taken too long: {count}.",
        "Contactos por los que no se preguntó al AIS, porque habría tardado demasiado: {count}.",
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
