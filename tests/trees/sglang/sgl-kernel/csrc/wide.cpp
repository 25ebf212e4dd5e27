extern "C" int wide() { return 3; }
