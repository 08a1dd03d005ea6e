/* Real mode: the routine in entry.S stores what it saw at 0x9000. */
#include "probe.h"

void test_real(void) {
  reset_system();
  u16 *seen = (u16 *)LOW_CODE;
  for (int i = 0; i < 64; i++) seen[i] = 0xeeee;
  run_real();
  print("real");
  for (int i = 0; i < 32; i++) {
    print(" ");
    print_hex(seen[i]);
  }
  print("\n");
}
