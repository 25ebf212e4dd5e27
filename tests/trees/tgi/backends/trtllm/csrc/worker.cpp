extern "C" int backend_version();

int main() { return backend_version() > 0 ? 0 : 1; }
