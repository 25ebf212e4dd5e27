extern "C" int scale(int value);
extern "C" int bound(int value) { return scale(value) + 1; }
