// Unit tests of the console's plain modules: decoding, event stream, geometry, formats, graticule.
import './decode.test';
import './format.test';
import './geometry.test';
import './handon.test';
import './past.test';
import './position.test';
import './sse.test';
import './watch.test';
import './marks.test';
