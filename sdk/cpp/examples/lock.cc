// Take a lock, hold it for a while, give it back. Run it in two terminals: lock [endpoints]
#include <chrono>
#include <iostream>
#include <thread>

#include <lockstep/lockstep.h>

int main(int count, char** arguments) {
  lockstep::Client client(count > 1 ? arguments[1] : "127.0.0.1:2379");
  auto lock =
      client.lock("locks/orders").acquire(lockstep::CallOptions().timeout(std::chrono::seconds(30))).wait();
  if (!lock) {
    std::cerr << lock.error().to_string() << '\n';
    return 1;
  }
  std::cout << "mine, with token " << lock->token() << std::endl;
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
}
