#include <cstdint>
#include <link.h>
#include <unistd.h>

#include <sys/mman.h>

#include "platform/process.h"

namespace lockstep::platform {
namespace {

// The loader tells places as numbers; nothing is optimised around a call that is made once.
void* address_of(std::uintptr_t number) {
  return reinterpret_cast<void*>(number);  // NOLINT(performance-no-int-to-ptr)
}

// Segments that the loader may write to (relocations lie in them) would lose what it wrote; the others are as
// they are in the file.
int release_object(dl_phdr_info* object, std::size_t /*size*/, void* page_bytes_argument) {
  const std::uintptr_t page_bytes = *static_cast<const std::uintptr_t*>(page_bytes_argument);
  for (const ElfW(Phdr)* segment = object->dlpi_phdr; segment != object->dlpi_phdr + object->dlpi_phnum;
       ++segment) {
    if (segment->p_type != PT_LOAD || (segment->p_flags & PF_W) != 0) continue;
    const std::uintptr_t begin = object->dlpi_addr + segment->p_vaddr;
    // Whole pages inside the segment: those at its ends may be shared with a neighbour.
    const std::uintptr_t first = (begin + page_bytes - 1) / page_bytes * page_bytes;
    const std::uintptr_t last = (begin + segment->p_memsz) / page_bytes * page_bytes;
    // Best effort: refused, the pages stay.
    if (first < last) static_cast<void>(::madvise(address_of(first), last - first, MADV_DONTNEED));
  }
  return 0;
}

bool has_text_relocations(const dl_phdr_info& object) {
  for (const ElfW(Phdr)* segment = object.dlpi_phdr; segment != object.dlpi_phdr + object.dlpi_phnum;
       ++segment) {
    if (segment->p_type != PT_DYNAMIC) continue;
    const auto* entry = static_cast<const ElfW(Dyn)*>(address_of(object.dlpi_addr + segment->p_vaddr));
    for (; entry->d_tag != DT_NULL; ++entry) {
      if (entry->d_tag == DT_TEXTREL) return true;
      if (entry->d_tag == DT_FLAGS && (entry->d_un.d_val & DF_TEXTREL) != 0) return true;
    }
  }
  return false;
}

}  // namespace

void release_start_up_pages() {
  std::uintptr_t page_bytes = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  static_cast<void>(::dl_iterate_phdr(
      [](dl_phdr_info* object, std::size_t size, void* argument) {
        return has_text_relocations(*object) ? 0 : release_object(object, size, argument);
      },
      &page_bytes));
}

}  // namespace lockstep::platform
