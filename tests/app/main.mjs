// The page, told in stories:
//
//     node main.mjs PROGRAM NODE_MODULES

import "./figures.mjs";
import "./basics.mjs";
import "./searching.mjs";
import "./hostile.mjs";
import "./races.mjs";
import "./tidying.mjs";
import "./sending.mjs";
import "./signins.mjs";
import { tellAll } from "./support.mjs";

tellAll();
