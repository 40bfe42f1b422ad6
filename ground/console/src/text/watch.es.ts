// La guardia en español: alertas, zonas, reglas, AIS, parcelas, nombres que ya no están. El molde es watch.en.ts.
import type { Reason } from '../alerts/api';
import type { Said } from '../ais/api';
import type { Texts } from './index';

const plural = (count: number, one: string, many: string): string => `${count} ${count === 1 ? one : many}`;
const percent = (share: number): string => `${Math.round(share * 100)} %`;
const span = (seconds: number): string =>
  seconds < 120 ? `${Math.round(seconds)} s` : seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;

/** The ground writes English; what has numbers is said anew, the rest stays as it came. */
function reason(said: Reason): string {
  const { value, limit } = said;
  if (value === null) return said.text;
  const asked = limit === null ? '' : limit;
  switch (said.word) {
    case 'zone':
      return `zona: seguro al ${percent(value)} (se pide ${percent(Number(asked) || 0)})`;
    case 'crossing':
      return `cruzó la línea, seguro al ${percent(value)}`;
    case 'looks':
      return `visto ${plural(value, 'vez', 'veces')} (al menos ${asked})`;
    case 'score':
      return `valor ${value.toFixed(2)} (al menos ${Number(asked).toFixed(2)})`;
    case 'position':
      return `lugar con un error de ${Math.round(value)} m (como mucho ${asked} m)`;
    case 'speed':
      return `velocidad ${value.toFixed(1)} m/s (se pide ${asked})`;
    case 'dwell':
      return `durante ${span(value)} (se pide ${span(Number(asked) || 0)})`;
    case 'light':
      return `${value < (limit ?? -6) ? 'allí era de noche' : 'allí era de día'} (sol ${Math.abs(Math.round(value))}° ${value < 0 ? 'bajo' : 'sobre'} el horizonte)`;
    case 'late':
      return `la noticia es de hace ${span(value)}`;
    default:
      return said.text;
  }
}

function said(one: Said): string {
  const value = (name: string): number => one.values[name] ?? 0;
  switch (one.kind) {
    case 'nobody_near':
      return `ningún buque en el AIS está a menos de ${Math.round(value('radius_m') / 1000)} km`;
    case 'nobody_fits':
      return `ningún buque en el AIS encaja: el más cercano estaba a ${Math.round(value('distance_m'))} m (${value('sigmas').toFixed(1)} sigmas)`;
    case 'silent':
      return 'no se oyó AIS de esta embarcación; las pequeñas no tienen que llevarlo, y los equipos fallan';
    case 'not_said_a_vessel':
      return 'nada dice que esto sea un buque: el silencio no significa nada';
    case 'could_hear':
    case 'could_not_hear':
      return `${value('evidence') < 5 ? 'es una suposición, pues allí se ha oído a muy pocos: ' : ''}a un buque de allí que emitiera se le habría oído con un ${percent(value('chance'))}: el receptor capta el ${percent(value('per_report'))} de los mensajes de esa zona`;
    case 'deaf':
      return 'el receptor no oyó a nadie entonces: tampoco pudo oír a esta embarcación';
    case 'vague_look':
      return `la observación es demasiado vaga: una sigma son ${Math.round(value('sigma_m'))} m`;
    default:
      return one.text;
  }
}

export const watchEs: Texts['watch'] = {
  alerts: {
    tab: 'Alertas',
    shelves: { alerts: 'Alertas', zones: 'Zonas', rules: 'Reglas' },
    shelvesName: 'Alertas, zonas y reglas',
    bell: (unseen, open) =>
      unseen > 0 ? `Alertas: ${unseen} sin ver, ${open} abiertas` : open > 0 ? `Alertas: ${open} abiertas, todas vistas` : 'Alertas: ninguna abierta',
    severities: { notice: 'Aviso', warning: 'Atención', urgent: 'Urgente' },
    onlyOpen: 'Abiertas',
    all: 'Todas',
    none: 'No hay alertas abiertas',
    noneHint: 'Aquí aparece una alerta cuando un contacto cumple una regla. Dibuje una zona para empezar.',
    noneEver: 'Todavía no hay alertas',
    loading: 'Cargando alertas',
    failed: 'No se pudieron cargar las alertas. Se intenta de nuevo con la próxima imagen.',
    refused: (count) => plural(count, 'alerta no se pudo leer y no se muestra', 'alertas no se pudieron leer y no se muestran'),
    older: 'Alertas anteriores',
    show: 'Mostrar',
    showTitle: 'Mostrar el contacto y su lugar en el mapa',
    acknowledge: 'Enterado',
    acknowledgeTitle: 'He tomado nota: ya no suena, para nadie',
    escalate: 'Elevar',
    escalateTitle: 'Un paso más grave; se avisa de nuevo a quien diga la regla',
    comment: 'Nota',
    commentHint: 'Lo que otros deben saber',
    send: 'Enviar',
    cancel: 'Cancelar',
    actFailed: 'No llegó a la estación de tierra. Inténtelo de nuevo.',
    mayNot: 'Su papel ve las alertas, pero no actúa sobre ellas.',
    why: 'Por qué saltó',
    what: 'Qué se hizo',
    more: 'Detalles',
    acknowledgedBy: (who) => `Enterado: ${who}`,
    did: { acknowledged: 'tomó nota', escalated: 'la elevó', commented: 'dijo' },
    station: 'La estación',
    quiet: 'Horas de silencio',
    quietTitle: 'Cayó en horas de silencio: se muestra, no suena',
    quietNow: (rule, until) => `En silencio: ${rule}, hasta las ${until}`,
    late: 'Noticia tardía',
    isNew: 'Nueva',
    place: (ce90) => `lugar con un error de ±${ce90}`,
    soundOn: 'Con sonido',
    soundOff: 'Sin sonido',
    mute: 'Quitar el sonido en esta pantalla',
    unmute: 'Poner el sonido',
    test: 'Probar el sonido',
    needsClick: 'Pulse una vez en cualquier sitio: hasta entonces el navegador no deja sonar a ninguna página.',
    noAudio: 'Este navegador no produce sonidos.',
    desktopAsk: 'Avisar en el escritorio',
    desktopOn: 'Avisos del escritorio puestos',
    desktopDenied: 'A este navegador se le dijo que no avise. Se cambia en sus ajustes para esta página.',
    desktopNone: 'Los avisos del escritorio necesitan una página con TLS o de este mismo equipo.',
    reason,
    live: (count, severity) => `${plural(count, 'alerta sin ver', 'alertas sin ver')}; la más grave: ${severity}`,
  },

  zones: {
    none: 'Todavía no hay zonas',
    noneHint: 'Dibuje una en el mapa o importe un archivo de áreas o líneas.',
    failed: 'No se pudieron cargar las zonas y las reglas.',
    notSaved: 'No llegó a la estación de tierra. Inténtelo de nuevo.',
    loading: 'Cargando zonas',
    kinds: { area: 'Área', exclusion: 'Zona de exclusión', corridor: 'Corredor', line: 'Línea', mute: 'Zona muda' },
    kindHints: {
      area: 'la vigilan las reglas',
      exclusion: 'nada puede estar ahí: alerta sin regla',
      corridor: 'una línea con anchura, vigilada como un área',
      line: 'para ser cruzada',
      mute: 'dentro callan las demás alertas',
    },
    draw: 'Dibujar en el mapa',
    import: 'Importar un archivo',
    importTitle: 'GeoJSON, KML, GeoPackage o un plan de QGroundControl',
    importAs: 'Sus áreas pasan a ser',
    importWidth: 'Las líneas pasan a ser corredores de esta anchura en metros; 0: líneas para cruzar',
    importFile: 'Archivo',
    importGo: 'Importar',
    imported: (count) => plural(count, 'zona importada.', 'zonas importadas.'),
    tooLarge: (megabytes) => `Un archivo puede tener ${megabytes} MB. Los mayores entran en la estación: skywarden ground zones import ARCHIVO.`,
    mayNot: 'Su papel ve las zonas y las reglas, pero no las cambia.',
    show: 'Mostrar en el mapa',
    edit: 'Cambiar',
    remove: 'Quitar',
    removed: (name) => `«${name}» quitada.`,
    undo: 'Deshacer',
    drawnBy: (who) => (who ? `dibujada por ${who}` : 'dibujada'),
    drawing: (kind) => `Dibujando: ${kind}`,
    drawHint: 'Pulse o toque cada esquina. Intro termina, Retroceso quita la última esquina, Esc cancela.',
    drawKeys: 'Con el teclado: las flechas mueven el mapa, Espacio pone una esquina en la cruz.',
    setPoint: 'Poner una esquina en la cruz',
    back: 'Quitar la última',
    finish: 'Hecho',
    cancel: 'Cancelar',
    corners: (count) => plural(count, 'esquina', 'esquinas'),
    flaws: {
      few: (least) => `necesita al menos ${least} esquinas`,
      crosses: 'sus lados se cruzan',
    },
    newTitle: 'Zona nueva',
    editTitle: 'Cambiar la zona',
    name: 'Nombre',
    kind: 'Clase',
    width: 'Anchura en metros, de lado a lado',
    points: 'Esquinas, una por línea: latitud, longitud',
    pointsWrong: (line) => `La línea ${line} no es una posición como 36.70512, -3.42001.`,
    pointsFile: 'Tiene varias partes o huecos: importe de nuevo su archivo para cambiar su forma.',
    redraw: 'Dibujar de nuevo',
    save: 'Guardar',
    size: 'Tamaño',
    lengthOf: (value) => `${value} de largo`,
    round: (value) => `${value} de contorno`,
    rules: 'Reglas sobre ella',
    noRules: 'Ninguna regla trata de ella todavía: no alerta a nadie.',
    exclusionRule: 'Alerta sin regla.',
    muteRule: 'Acalla las alertas en su interior; las zonas de exclusión suenan más.',
    newRule: 'Nueva regla para ella',
    lastZone: (name) => `«${name}» no nombra otra zona; sin ninguna trataría de todas. Cambie o quite la regla misma.`,
    source: 'De',
    label: 'Zonas',
  },

  rules: {
    none: 'Todavía no hay reglas',
    noneHint: 'Una regla dice qué de un contacto produce una alerta.',
    new: 'Regla nueva',
    newTitle: 'Regla nueva',
    editTitle: 'Cambiar la regla',
    builtIn: 'Siempre en vigor; una regla guardada aquí toma su lugar.',
    off: 'Parada',
    on: 'En vigor',
    name: 'Nombre',
    severity: 'Gravedad',
    when: 'Salta cuando un contacto',
    triggers: { inside: 'está dentro', enters: 'entra', leaves: 'sale', crosses: 'cruza una línea', anywhere: 'se ve, donde sea' },
    zones: 'Zonas',
    allZones: 'Todas las que valgan',
    labels: 'Clases de cosas',
    labelsHint: 'Separadas por comas, como vessel, go_fast; vacío: todas',
    score: 'Valor mínimo, de 0 a 1',
    ce90: 'Error del lugar, metros como mucho (CE90)',
    looks: 'Visto al menos, veces',
    probability: 'Seguro de estar dentro, %',
    speedLeast: 'Velocidad mínima, m/s',
    speedMost: 'Velocidad máxima, m/s',
    ais: 'El AIS dice',
    light: 'Luz en su lugar',
    lights: { any: 'Cualquiera', dark: 'De noche', day: 'De día' },
    hours: 'Solo a estas horas del día',
    quiet: 'Horas de silencio: se muestra, no suena',
    from: 'Desde',
    until: 'Hasta',
    addHours: 'Añadir horas',
    removeHours: 'Quitar estas horas',
    offset: 'Las horas del día son',
    dwell: 'Dentro durante, minutos',
    again: 'Alerta de nuevo tras, minutos fuera',
    escalate: 'Nadie toma nota: elevar tras, minutos; 0 es nunca',
    pilot: 'Avisar también a la estación del piloto',
    save: 'Guardar',
    cancel: 'Cancelar',
    remove: 'Quitar',
    more: 'Más condiciones',
    preview: 'En palabras',
    edit: 'Cambiar',
    noName: 'Hace falta un nombre.',
    speedsCross: 'La velocidad mínima es mayor que la máxima.',
    badNumber: (field, low, high) => `${field}: de ${low} a ${high}.`,
    say: {
      begin: (severity) => `Alerta «${severity}» cuando`,
      anything: 'un contacto',
      labels: (labels) => `un contacto llamado ${labels}`,
      inside: (zones) => `está dentro de ${zones}`,
      enters: (zones) => `entra en ${zones}`,
      leaves: (zones) => `sale de ${zones}`,
      crosses: (zones) => `cruza ${zones}`,
      anywhere: 'se ve en cualquier lugar',
      allAreas: 'cualquier área o corredor',
      allLines: 'cualquier línea',
      exclusionZones: 'una zona de exclusión',
      gone: 'una zona que ya no está',
      dwell: (time) => `durante ${time}`,
      sure: (share) => `seguro al ${share}`,
      score: (value) => `con un valor de ${value} o más`,
      ce90: (value) => `con un error del lugar de ${value} como mucho`,
      looks: (count) => `visto ${plural(count, 'vez', 'veces')} o más`,
      speedBoth: (low, high) => `de ${low} a ${high}`,
      speedLeast: (value) => `a ${value} o más rápido`,
      speedMost: (value) => `a ${value} o más lento`,
      ais: (words) => `mientras el AIS dice: ${words}`,
      dark: 'de noche en su lugar',
      day: 'de día en su lugar',
      hours: (spans, zone) => `entre ${spans} (${zone})`,
      quiet: (spans, zone) => `En silencio entre ${spans} (${zone}).`,
      escalate: (time) => `Se agrava cada ${time} que nadie toma nota, dos veces como mucho.`,
      again: (time) => `El mismo contacto alerta de nuevo tras ${time} fuera.`,
      pilot: 'También se avisa al piloto.',
      off: 'Está parada.',
      and: ', ',
      or: ' o ',
      quoted: (name) => `«${name}»`,
    },
  },

  ais: {
    tab: 'AIS',
    search: 'Buscar buques en el AIS',
    searchHint: 'Nombre, MMSI, tipo',
    none: 'Ningún buque en el AIS a la vista',
    noneHint: 'Aquí aparecen los buques oídos en las últimas seis horas, de lo que muestra el mapa.',
    noMatch: 'Ningún buque a la vista encaja',
    failed: 'No se pudo preguntar por el AIS.',
    capped: (shown, all) => `${shown} de ${all} a la vista: acérquese para ver el resto`,
    heard: (age) => `oído ${age}`,
    stale: 'viejo',
    close: 'Cerrar',
    show: 'Mostrar en el mapa',
    title: (name) => `Buque en el AIS ${name}`,
    mmsi: 'MMSI',
    callsign: 'Distintivo',
    imo: 'OMI',
    type: 'Tipo',
    size: 'Tamaño',
    sizeOf: (length, beam) => `${length} × ${beam}`,
    draught: 'Calado',
    destination: 'Destino',
    station: 'Equipo',
    stations: { A: 'clase A', B: 'clase B', base: 'estación base', aid: 'ayuda a la navegación', aircraft: 'aeronave', long_range: 'largo alcance' },
    identity: 'Según dice él mismo',
    position: 'Posición',
    course: 'Rumbo, velocidad',
    heading: 'Proa',
    first: 'Oído primero',
    last: 'Oído por último',
    notChecked: 'Lo que dice el AIS no está autenticado: quien tenga una radio puede decirlo.',
    flags: 'Lo que llama la atención',
    flagNote: 'Un hecho con sus números, no una acusación: pescar y esperar se ven igual.',
    flagKinds: {
      loitering: 'Merodea',
      rendezvous: 'Se juntó con otro buque',
      too_fast: 'Más rápido que su tipo',
      gap: 'Dejó de oírse',
      shoreward_at_night: 'Hacia la costa de noche',
      identity: 'Identidad dudosa',
    },
    doubts: 'En duda',
    track: 'Dónde estuvo',
    tracks: (count) => `${count} emisores o saltos con este número`,
    places: (count) => plural(count, 'lugar', 'lugares'),
    with: (mmsi) => `Con el MMSI ${mmsi}`,
    loading: 'Cargando el buque',
    gone: 'Últimamente no se oyó ningún buque con este número.',
    verdict: 'AIS',
    verdicts: {
      matched: 'Encaja con un buque en el AIS',
      silent: 'No se oyó AIS de esta embarcación',
      doubtful: 'Lo que el AIS dice de ella es dudoso',
      unheard: 'Nuestro receptor no pudo oírla',
      undecided: 'No se puede decidir',
    },
    shorts: { matched: 'encaja', silent: 'no se oye AIS', doubtful: 'AIS dudoso', unheard: 'no se podía oír', undecided: 'no se puede decidir' },
    bar: 'Qué probable es cada respuesta',
    noVerdict: 'Esta estación no tiene respuesta del AIS sobre este contacto.',
    loadingVerdict: 'Preguntando al AIS',
    candidates: 'Buques que se consideraron',
    filter: 'AIS',
    filterAll: 'AIS: todos',
    filterOne: (name, count) => `${name} (${count})`,
    pending: (count) => `${count} se están comparando todavía`,
    said,
    tag: { silent: 'sin AIS', doubtful: 'AIS ?', matched: 'AIS' },
  },

  gone: {
    title: 'Este nombre ya no está',
    asking: 'Preguntando qué fue de él',
    merged: 'Se unió con otro contacto: más observaciones mostraron que son una sola cosa.',
    split: 'Se partió: sus trazas son varias cosas.',
    renamed: 'Ahora tiene otro nombre.',
    unknown: 'La estación no sabe nada con este nombre. Puede ser más viejo que lo que se guarda.',
    failed: 'No se pudo preguntar a la estación.',
    now: 'Ahora',
    history: 'Qué pasó',
    events: {
      merged: (before, after) => `${before} pasó a ser ${after}`,
      split: (before, after) => `${before} se partió en ${after}`,
      renamed: (before, after) => `${before} se llama ${after}`,
    },
    open: 'Abrir',
  },

  plots: {
    title: 'Parcela',
    area: 'Superficie',
    within: (low, high) => `de ${low} a ${high} en el 90 % de los casos`,
    partly: 'Solo se vio una parte: la superficie verdadera es mayor.',
    id: 'Parcela',
    site: 'Visitas',
    noSite: 'Vista una vez hasta ahora.',
    visit: (platform, sortie) => `${platform}, ${sortie}`,
    changes: { grew: 'creció', shrank: 'menguó', same: 'igual', unclear: 'no comparable' },
    firstVisit: 'vista por primera vez',
    reviewIt: 'Revisar',
    toReview: (count) => `Parcelas por revisar: ${count}`,
    seen: 'Vista',
    gone: 'Esta parcela ya no está en el mapa.',
  },

  map: {
    zones: 'Zonas',
    ais: 'Buques en el AIS',
    places: 'Todo lo observado',
    zoneArea: 'Área o corredor: puntos',
    zoneExclusion: 'Zona de exclusión: rayas',
    zoneMute: 'Zona muda: trazos',
    zoneLine: 'Línea para ser cruzada',
    aisVessel: 'Buque en el AIS, apunta a donde mira',
    aisStill: 'En el AIS, sin rumbo dicho',
    aisFlag: 'Con un punto: algo llama la atención',
    silent: 'Anillo: no se oyó AIS de esta embarcación',
    place: 'Una observación, de cuando sea',
  },

  keys: [
    ['A', 'alertas'],
    ['M', 'sonido sí, no'],
    ['1 – 4', 'contactos, plataformas, alertas, AIS'],
  ],
};
