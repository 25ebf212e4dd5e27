#include "scale.h"
extern "C" int scale(int value) { return FACTOR * value; }
