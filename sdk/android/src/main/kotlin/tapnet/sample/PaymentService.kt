package tapnet.sample

import android.nfc.cardemulation.HostApduService
import android.os.Bundle
import android.os.SystemClock
import hce.Hce

/**
 * Gets each command of a reader. Everything is decided in the engine; here bytes are carried, on the one thread Android calls on. Nothing on
 * this path touches the key store, the disk or the network.
 */
class PaymentService : HostApduService() {
    private val out = ByteArray(512) // one buffer for the life of the service: 258 bytes are always enough
    private var waiting: ByteArray? = null

    override fun processCommandApdu(command: ByteArray, extras: Bundle?): ByteArray? {
        val n = wallet().engine.processInto(command, out, SystemClock.elapsedRealtimeNanos())
        if (n == Hce.ProcessPending) {
            // The key store is still unmasking the key. null keeps the reader waiting; armed() sends the answer.
            waiting = command
            wallet().whenArmed(::armed)
            return null
        }
        return if (n > 0) out.copyOf(n) else byteArrayOf(0x6F, 0x00)
    }

    private fun armed() {
        val command = waiting ?: return
        waiting = null
        val n = wallet().engine.processInto(command, out, SystemClock.elapsedRealtimeNanos())
        sendResponseApdu(if (n > 0) out.copyOf(n) else byteArrayOf(0x6F, 0x00))
    }

    override fun onDeactivated(reason: Int) {
        waiting = null
        wallet().engine.deactivated(reason)
        wallet().refreshIfNeeded() // in the background; the engine tells whether it is time
    }

    private fun wallet() = application as Wallet
}
