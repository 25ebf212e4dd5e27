extern "C" int scale(int value);
int main() { return scale(21) == 42 ? 0 : 1; }
