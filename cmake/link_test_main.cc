// The whole of a link test: what is tested is that it links (lockstep_link_test in Lockstep.cmake).
int main() {
  return 0;
}
