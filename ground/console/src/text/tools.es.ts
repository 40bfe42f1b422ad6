// Las herramientas del mapa en español: medir, posiciones, el pasado, dónde miraron las cámaras. El molde es tools.en.ts.
import type { Texts } from './index';

export const toolsEs: Texts['tools'] = {
  space: 'Espacio',
  measure: {
    open: 'Medir',
    title: 'Medir distancia, rumbo y área',
    hint: 'Pulse en el mapa o ponga un punto en la cruz.',
    set: 'Poner punto',
    back: 'Quitar el último',
    close: 'Cerrar el anillo',
    stop: 'Terminar',
    way: (length) => `recorrido ${length}`,
    area: (size) => `área ${size}`,
  },
  position: {
    open: 'Posición, ir a',
    title: 'Posición',
    goTo: 'Ir a una posición',
    go: 'Ir',
    hint: 'Grados decimales, grados con minutos, MGRS o UTM. Primero la latitud.',
    odd: 'No hay ninguna posición que se lea con certeza.',
    readAs: (name) => `Leído como ${name}`,
    names: { decimal: 'Decimal', dms: 'Grad min seg', utm: 'UTM', mgrs: 'MGRS' },
    change: 'Cambiar la notación de las posiciones',
  },
  keys: [
    ['D', 'medir distancia, rumbo y área'],
    ['G', 'ir a una posición; todas las notaciones del centro del mapa'],
  ],
};
