extern "C" int rope() { return 2; }
