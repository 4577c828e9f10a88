import { serve } from 'langevin/web/worker'

serve()
