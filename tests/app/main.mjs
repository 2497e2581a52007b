import "./basics.mjs";
import "./hostile.mjs";
import "./races.mjs";
import "./signins.mjs";
