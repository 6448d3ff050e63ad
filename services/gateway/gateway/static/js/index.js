import { openCamera } from "./camera.js";
import { startClock } from "./clock.js";

startClock();
openCamera("camera_help_home");
