#include "cli/interrupt.h"

#include <unistd.h>

#include <csignal>

#include "cli/terminal.h"

namespace paro::cli {
namespace {

std::atomic<bool> interrupted{false};
std::atomic<int> last_signal{SIGINT};
std::atomic<int> signals{0};
std::atomic<int> signals_to_force{2};
static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<int>::is_always_lock_free);

void on_signal(int number) {
  last_signal = number;
  // The work in progress may take a while to notice; a further Ctrl-C does not wait for it. Files being written have
  // temporary names, so nothing half-written takes a final name.
  interrupted = true;
  if (++signals >= signals_to_force) {
    show_typing();
    ::_exit(128 + number);
  }
}

}  // namespace

void handle_interrupts(int force_after) {
  signals_to_force = force_after;
  struct sigaction action = {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  // No SA_RESTART: a read from the terminal must return.
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
}

const std::atomic<bool>& interrupt_flag() { return interrupted; }
void clear_interrupt() {
  interrupted = false;
  signals = 0;
}

int interrupt_exit_code() { return 128 + last_signal; }

}  // namespace paro::cli
