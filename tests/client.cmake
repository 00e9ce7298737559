quire_test(client_test client_test.c client_peer.c support/temp.c
  LIBS quire_client quire_wire Threads::Threads)
