extern "C" int norm() { return 1; }
