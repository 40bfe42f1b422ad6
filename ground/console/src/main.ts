// The console's first line of code: styles, then the page.
import '@fontsource-variable/inter/wght.css';
import 'maplibre-gl/dist/maplibre-gl.css';
import './styles/tokens.css';
import './styles/base.css';
import { mount } from 'svelte';
import App from './App.svelte';
import { language, text } from './text';

document.documentElement.lang = language;
// The line of an exercise is the station's own, in its page; only its language is ours.
const exerciseMark = document.getElementById('exercise-mark');
if (exerciseMark) exerciseMark.textContent = text.exerciseMark;
const target = document.getElementById('app');
if (!target) throw new Error('index.html has no #app');
mount(App, { target });
