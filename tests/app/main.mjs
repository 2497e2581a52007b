import "./basics.mjs";
import "./hostile.mjs";
import "./races.mjs";
import "./tidying.mjs";
import "./sending.mjs";
import "./signins.mjs";
import "./figures.mjs";
